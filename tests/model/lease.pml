/* SPDX-License-Identifier: Apache-2.0
 *
 * The index's lease protocol on one value (DESIGN.md, "The index and its coherence"; src/index/redis*.c): two processes,
 * each with a writer and a reader, over one store and one Redis that evicts, restarts or fails over to an older state.
 * Process 0 loses its connections: it has two loops with one each, its writer at the first and its reader at the
 * second, and one list of drops for both.
 *
 * The store's value is a version: each PUT that arrives makes the next one. Every guard of the protocol is a macro; with
 * -DG_X=0 it is taken out, and protocol.py shows that spin then finds a violation.
 *
 * FILL looks at no writer: a lease is older than no BEGIN. Nor does a hit: there is no value while somebody writes.
 *
 *   acked      no reader may get an older version (invariant 8)
 *   own        as acked, for the readers of process 0: written while it could not tell Redis so; what others answer is
 *              bounded by the time-to-live until it has told it
 *   settled    as acked, for a PUT of unknown outcome that arrived late: binds when its writer's entry in `w` is gone;
 *              if its BEGIN was not confirmed, when its process next says anything to Redis
 */

#ifndef G_BEGIN_V
#define G_BEGIN_V 1 /* BEGIN deletes the value */
#endif
#ifndef G_BEGIN_G
#define G_BEGIN_G 1 /* BEGIN deletes the lease */
#endif
#ifndef G_BEGIN_W
#define G_BEGIN_W 1 /* BEGIN adds the writer */
#endif
#ifndef G_BEGIN_LOST
#define G_BEGIN_LOST 1 /* a BEGIN that is not confirmed puts the key on the list of drops: an END need not follow */
#endif
#ifndef G_END_V
#define G_END_V 1 /* END deletes the value */
#endif
#ifndef G_END_G
#define G_END_G 1 /* END deletes the lease */
#endif
#ifndef G_END_UNBEGUN
#define G_END_UNBEGUN 1 /* END is sent also when BEGIN was not confirmed, or in an earlier life of Redis */
#endif
#ifndef G_END_LOST
#define G_END_LOST 1 /* an END that is not confirmed puts the key on the list of drops, as a BEGIN does */
#endif
#ifndef G_END_ACK
#define G_END_ACK 1 /* the client is told after END, not before */
#endif
#ifndef G_UNKNOWN
#define G_UNKNOWN 1 /* no END when the store's outcome is unknown */
#endif
#ifndef G_DEADLINE
#define G_DEADLINE 1 /* a writer expires later than its PUT can arrive */
#endif
#ifndef G_READ_W
#define G_READ_W 1 /* READ gives no lease while there are writers */
#endif
#ifndef G_FILL_G
#define G_FILL_G 1 /* FILL is refused without its lease */
#endif
#ifndef G_RANDOM
#define G_RANDOM 1 /* each lease has a name of its own */
#endif
#ifndef G_NAMESPACE
#define G_NAMESPACE 1 /* another life of Redis is another namespace, and cold */
#endif
#ifndef G_DROP
#define G_DROP 1 /* the list of drops: its keys are deleted */
#endif
#ifndef G_DROP_G
#define G_DROP_G 1 /* their leases too */
#endif
#ifndef G_DROP_FIRST
#define G_DROP_FIRST 1 /* before anything else that a new connection is told */
#endif
#ifndef G_DROP_EVERY
#define G_DROP_EVERY 1 /* and before whatever the connections of the other loops are told next */
#endif

byte store = 1;
byte deleted = 0; /* the version that is a delete */

/* Redis' hash of the key */
byte v = 0;
byte g = 0;
bool w[2];

/* process 0 */
bool is_connected[2] = true; /* its writer's loop, its reader's */
bool has_drop = false;
bool drops_writer = false; /* which has ended: its entry in `w` is deleted as well */
bool is_untold = false;    /* its BEGIN was not confirmed, and nothing was said to Redis since */

/* the writers */
bool is_tracked[2]; /* its entry in `w` was made, and lost to nothing but END or its deadline */
bool is_decided[2]; /* its PUT has arrived, or never will */
byte version[2];    /* of its PUT, once arrived with unknown outcome */

byte acked = 1;
byte own = 1;
byte settled = 1;

inline raise(what, to)
{
    if
    :: to > what -> what = to
    :: else
    fi
}

inline settle(i)
{
    if
    :: is_tracked[i] && is_decided[i] && !w[i] && version[i] > 0 -> raise(settled, version[i])
    :: else
    fi
}

inline forget_all()
{
    v = 0;
    g = 0;
    if :: w[0] -> is_tracked[0] = false :: else fi;
    if :: w[1] -> is_tracked[1] = false :: else fi;
    w[0] = false;
    w[1] = false
}

/* Process 0 says something to Redis. */
inline speak()
{
    if
    :: is_untold && version[0] > 0 -> raise(settled, version[0])
    :: else
    fi;
    is_untold = false
}

inline tell_drop()
{
    v = 0;
    if :: G_DROP_G -> g = 0 :: else fi;
    if :: drops_writer -> w[0] = false :: else fi;
    raise(acked, own);
    has_drop = false;
    drops_writer = false;
    speak()
}

inline begin_write(i)
{
    if :: G_BEGIN_V -> v = 0 :: else fi;
    if :: G_BEGIN_G -> g = 0 :: else fi;
    if :: G_BEGIN_W -> w[i] = true :: else fi
}

inline end_write(i)
{
    if :: G_END_V -> v = 0 :: else fi;
    if :: G_END_G -> g = 0 :: else fi;
    w[i] = false
}

inline put(i)
{
    store++;
    if :: i == 1 -> deleted = store :: else fi
}

/* Every connection is told the drops before anything else. */
#define MUST_TELL           (has_drop && G_DROP && G_DROP_FIRST && G_DROP_EVERY)
#define CAN_USE(p, its_loop) (p == 1 || (is_connected[its_loop] && !MUST_TELL))

/* Writer 1 deletes. */
proctype Writer(byte i)
{
    byte mine = 0;
    bool is_begun = false;

    atomic {
        if
        :: CAN_USE(i, 0) -> begin_write(i); is_begun = true; is_tracked[i] = true
        :: i == 0 && CAN_USE(i, 0) -> begin_write(i); is_connected[0] = false /* done, and its answer was lost */
        :: i == 0 -> is_connected[0] = false
        fi;
        if
        :: !is_begun -> is_untold = true; has_drop = G_BEGIN_LOST
        :: else
        fi
    }
    if
    :: atomic { put(i); mine = store; is_decided[i] = true }
    :: goto unknown
    fi;
    if
    :: !G_END_ACK -> raise(acked, mine)
    :: else
    fi;
    atomic {
        if
        :: CAN_USE(i, 0) ->
            if
            :: is_begun || G_END_UNBEGUN -> end_write(i)
            :: else
            fi;
            raise(acked, mine)
        :: i == 0 ->
            is_connected[0] = false;
            if :: G_END_LOST -> has_drop = true; drops_writer = true :: else fi;
            raise(own, mine)
        fi;
        if :: i == 0 -> is_untold = false :: else fi;
        mine = 0;
        is_begun = false
    }
    goto over;

unknown:
    atomic {
        if
        :: !G_UNKNOWN && CAN_USE(i, 0) -> end_write(i)
        :: else
        fi;
        is_begun = false
    }
    atomic {
        if
        :: put(i); version[i] = store
        :: skip
        fi;
        is_decided[i] = true;
        settle(i)
    }
over:
    skip
}

/* Misses once, and fills. A FILL may be done long after its connection was lost. */
proctype Reader(byte p)
{
    byte got = 0;
    byte lease = 0;

    atomic {
        CAN_USE(p, 1);
        if :: p == 0 -> speak() :: else fi;
        if
        :: v > 0 || (G_READ_W && (w[0] || w[1])) -> goto over
        :: else ->
            if
            :: g > 0 && G_RANDOM -> skip
            :: else -> g = (G_RANDOM -> 1 + p : 1)
            fi;
            lease = g
        fi
    }
    got = store;
    atomic {
        if
        :: got != deleted && (!G_FILL_G || g == lease) -> v = got; g = 0
        :: else
        fi;
        got = 0;
        lease = 0
    }
over:
    skip
}

#define IS_STALE(p, its_loop) (CAN_USE(p, its_loop) && v > 0 && (v < acked || v < settled || (p == 0 && v < own)))

/* What a hit would be, at any time. */
proctype Hit()
{
end:
    IS_STALE(0, 0) || IS_STALE(0, 1) || IS_STALE(1, 0) -> assert(false)
}

inline connect(its_loop)
{
    if
    :: has_drop && G_DROP && G_DROP_FIRST -> tell_drop()
    :: else -> speak()
    fi;
    is_connected[its_loop] = true
}

/* What may happen to Redis and to connections. Time-to-live ends a value as eviction does. */
proctype World()
{
    bool may_lose = true;
    bool may_cut = true;

end:
    do
    :: atomic { may_lose -> may_lose = false; forget_all() }
    :: atomic { /* a restart or a failover */
        may_lose ->
        may_lose = false;
        forget_all();
        if :: !G_NAMESPACE -> v = 1 :: else fi;
        is_connected[0] = false;
        is_connected[1] = false
    }
    :: atomic { may_cut -> may_cut = false; is_connected[1] = false }
    :: atomic { w[0] && (is_decided[0] || !G_DEADLINE) -> w[0] = false; settle(0) }
    :: atomic { w[1] && (is_decided[1] || !G_DEADLINE) -> w[1] = false; settle(1) }
    :: atomic { !is_connected[0] -> connect(0) }
    :: atomic { !is_connected[1] -> connect(1) }
    :: atomic {
        has_drop && (is_connected[0] || is_connected[1]) && G_DROP && (G_DROP_EVERY || !G_DROP_FIRST) -> tell_drop()
    }
    od
}

init
{
    atomic {
        run Writer(0);
        run Writer(1);
        run Reader(0);
        run Reader(1);
        run World();
        run Hit()
    }
}
