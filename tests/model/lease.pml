/* SPDX-License-Identifier: Apache-2.0
 *
 * The index's lease protocol on one key (DESIGN.md, "The index and its coherence"): two replicas, each with a writer and
 * a reader, over one store and one Redis that evicts, restarts or fails over to an older state, and loses connections.
 *
 * The store's value is a version: each PUT that arrives makes the next one. Every guard of the protocol is a macro; with
 * -DG_X=0 it is taken out, and guards.py shows that spin then finds a violation.
 *
 * The design's FILL also asks that there is no writer. The protocol holds without that: a lease is older than no BEGIN.
 *
 *   acked      no reader may get an older version (invariant 8)
 *   own[p]     as acked, for the readers of replica p: written while p could not tell Redis so; what other replicas
 *              answer is bounded by the time-to-live until p has told it
 *   settled    as acked, for a PUT of unknown outcome that arrived late: binds when its writer's entry in `w` is gone
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
#define G_DROP 1 /* the list of drops: its keys are deleted after a reconnect */
#endif
#ifndef G_DROP_G
#define G_DROP_G 1 /* their leases too */
#endif
#ifndef G_DROP_FIRST
#define G_DROP_FIRST 1 /* before any read */
#endif

/* Three reads find what four find, in a third of the states. */
#define READS(p) (2 - (p))

byte store = 1;
byte deleted = 0; /* the version that is a delete */

/* Redis' hash of the key */
byte v = 0;
byte g = 0;
bool w[2];

/* the replicas */
bool connected[2] = true;
bool must_drop[2];

/* the writers */
bool is_tracked[2]; /* its entry in `w` was made, and lost to nothing but END or its deadline */
bool is_decided[2]; /* its PUT has arrived, or never will */
byte version[2];    /* of its PUT, once arrived with unknown outcome */

byte acked = 1;
byte own[2] = 1;
byte settled = 1;

#if !G_NAMESPACE
byte old_v = 0;
#endif

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

/* Writer 1 deletes. */
proctype Writer(byte i)
{
    byte mine = 0;
    bool is_begun = false;

    atomic {
        if
        :: connected[i] -> begin_write(i); is_begun = true; is_tracked[i] = true
        :: connected[i] -> begin_write(i); connected[i] = false; must_drop[i] = true /* done, and its answer was lost */
        :: connected[i] -> connected[i] = false; must_drop[i] = true
        :: !connected[i] -> must_drop[i] = true
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
        :: connected[i] ->
            if
            :: is_begun || G_END_UNBEGUN -> end_write(i)
            :: else
            fi;
            raise(acked, mine)
        :: !connected[i] ->
            if :: G_END_LOST || !is_begun -> must_drop[i] = true :: else fi;
            raise(own[i], mine)
        fi
    }
    goto over;

unknown:
    atomic {
        if
        :: !G_UNKNOWN && connected[i] -> end_write(i)
        :: else
        fi
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

proctype Reader(byte p)
{
    byte need, got, lease, n = 0;

    do
    :: n < READS(p) ->
        n++;
        atomic {
            /* Without Redis a reader asks the store, which is never wrong: nothing to see. */
            connected[p];
            if :: acked > own[p] -> need = acked :: else -> need = own[p] fi;
            raise(need, settled);
            lease = 0;
            got = 0;
            if
            :: v > 0 && !(G_READ_W && (w[0] || w[1])) -> got = v; assert(got >= need)
            :: v == 0 && !(G_READ_W && (w[0] || w[1])) ->
                if :: G_RANDOM -> lease = 1 + 2 * p + n :: else -> lease = 1 fi;
                g = lease
            :: else
            fi
        }
        if
        :: lease > 0 ->
            got = store;
            atomic {
                if
                :: got != deleted && connected[p] && (!G_FILL_G || g == lease) -> v = got
                :: else
                fi;
                got = 0;
                lease = 0;
                need = 0
            }
        :: else -> got = 0; need = 0
        fi
    :: else -> break
    od
}

/* The connection of a replica comes back; what it could not tell is told before anything is read. */
proctype Connection(byte p)
{
end:
    do
    :: atomic {
        !connected[p] ->
        if
        :: must_drop[p] && G_DROP && G_DROP_FIRST ->
            v = 0;
            if :: G_DROP_G -> g = 0 :: else fi;
            raise(acked, own[p]);
            must_drop[p] = false
        :: else
        fi;
        connected[p] = true
    }
    :: atomic {
        connected[p] && must_drop[p] && G_DROP && !G_DROP_FIRST ->
        v = 0;
        g = 0;
        raise(acked, own[p]);
        must_drop[p] = false
    }
    od
}

proctype Deadline(byte i)
{
end:
    do
    :: atomic { w[i] && (is_decided[i] || !G_DEADLINE) -> w[i] = false; settle(i) }
    od
}

/* What may happen to Redis and to connections, once each. Time-to-live ends a value as eviction does. */
proctype Trouble()
{
    bool may_evict = true, may_restart = true, may_cut = true;

#if !G_NAMESPACE
    if
    :: old_v = v /* what a snapshot or a lagging replica has */
    :: skip
    fi;
#endif
end:
    do
    :: atomic { may_evict -> forget_all(); may_evict = false }
    :: atomic {
        may_restart -> /* or a failover */
        forget_all();
#if !G_NAMESPACE
        v = old_v;
#endif
        connected[0] = false;
        connected[1] = false;
        may_restart = false
    }
    :: atomic { may_cut -> may_cut = false; connected[0] = false }
    od
}

init
{
    atomic {
        run Writer(0);
        run Writer(1);
        run Reader(0);
        run Reader(1);
        run Connection(0);
        run Connection(1);
        run Deadline(0);
        run Deadline(1);
        run Trouble()
    }
}
