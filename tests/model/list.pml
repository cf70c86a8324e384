/* SPDX-License-Identifier: Apache-2.0
 *
 * The index's protocol on one list of two members (src/index/redis_scripts.c): two processes, each with a writer of the
 * first member, and two fillers, over one store and one Redis that loses keys, restarts or fails over to an older state.
 * Process 0 loses its connection; a command that was not confirmed was done, was not, or is done at any time later. The
 * second member is in the store all the time, so that a list which has lost members is seen.
 *
 * Every guard is a macro; with -DG_X=0 it is taken out, and protocol.py shows that spin then finds a violation.
 *
 * Whenever Redis would give a page, the second member must be in it, and the first be as the store has it, unless
 *   is_open[i]      writer i has written and its client has not been told; or process 0 could not tell Redis; or its
 *                   write is of unknown outcome and its deadline has not passed, or Redis has lost that deadline
 *   is_own_open[i]  the same for the readers of process i, who are not answered before Redis was told
 */

#ifndef G_FOUND
#define G_FOUND 1 /* an END that does not find its writer forgets the list */
#endif
#ifndef G_DISAGREE
#define G_DISAGREE 1 /* so does an END when a write that overlapped has ended otherwise */
#endif
#ifndef G_UNKNOWN
#define G_UNKNOWN 1 /* so does an END of unknown outcome */
#endif
#ifndef G_COUNT_END
#define G_COUNT_END 1 /* so does an END that finds not as many members as there should be */
#endif
#ifndef G_COUNT_READ
#define G_COUNT_READ 1 /* READ gives no page then */
#endif
#ifndef G_COUNT_PIECES
#define G_COUNT_PIECES 1 /* INSTALL is refused unless all that was listed is there */
#endif
#ifndef G_COUNT_CHANGES
#define G_COUNT_CHANGES 1 /* and all changes */
#endif
#ifndef G_CHANGES
#define G_CHANGES 1 /* ENDs are noted while a lease is out, and INSTALL does them again */
#endif
#ifndef G_FRESH
#define G_FRESH 1 /* a lease begins without changes */
#endif
#ifndef G_LEASE
#define G_LEASE 1 /* INSTALL is refused without its lease */
#endif
#ifndef G_RANDOM
#define G_RANDOM 1 /* each lease has a name of its own */
#endif
#ifndef G_FORGET_G
#define G_FORGET_G 1 /* to forget a list makes its lease void */
#endif
#ifndef G_FORGET_W
#define G_FORGET_W 1 /* and forgets who is writing: their ENDs will not find them */
#endif
#ifndef G_LATE
#define G_LATE 1 /* past a writer's deadline the list is forgotten before anything else */
#endif
#ifndef G_DEADLINE
#define G_DEADLINE 1 /* a writer's deadline is later than its PUT can arrive */
#endif
#ifndef G_WRITERS_LIVE
#define G_WRITERS_LIVE 1 /* writers are remembered for longer than any list that was known when they began */
#endif
#ifndef G_END_ACK
#define G_END_ACK 1 /* the client is told after END, not before */
#endif
#ifndef G_END_UNBEGUN
#define G_END_UNBEGUN 1 /* after a BEGIN that was not confirmed, END has a name that nothing knows */
#endif
#ifndef G_END_LOST
#define G_END_LOST 1 /* an END that is not confirmed is a drop: told again, of unknown outcome */
#endif
#ifndef G_DROP
#define G_DROP 1 /* drops are told */
#endif
#ifndef G_DROP_FIRST
#define G_DROP_FIRST 1 /* before anything else */
#endif
#ifndef G_NAMESPACE
#define G_NAMESPACE 1 /* another life of Redis is another namespace, and cold */
#endif

#ifndef LOSSES
#define LOSSES 1 /* of keys, or of Redis */
#endif

/* what a write did */
#define ABSENT 1
#define PRESENT 2
#define UNKNOWN 3

bit store = 0; /* whether it has the first member */

/* Redis: the state */
byte s = 0; /* 0: the list is not known; else 1 and the number of its members */
byte g = 0;
byte j = 0;
/* the members */
bit m0 = 0;
bit m1 = 0;
/* the changes: how many, and the last */
byte changes = 0;
bit last_change = 0;
/* the writers */
bool is_writing[2];
byte other[2]; /* what the last write did that overlapped and has ended; 0: none has */
/* the ends: 1 waits, 2 is past its deadline */
byte ends[2];
/* what a filler has listed */
bool has_pieces[2];

/* process 0 */
bool is_connected = true;
bool has_drop = false;
bool is_drop_named = false; /* by the name that its BEGIN had */
bool late_begin = false;    /* under way, on a connection that is lost */
byte late_end = 0;

bool is_tracked[2]; /* its BEGIN was confirmed, and Redis has not lost its deadline */
bool is_decided[2]; /* its PUT has arrived, or never will */
bool is_open[2];
bool is_own_open[2];

/* ---- what the scripts do ---- */

inline lose_writer(i)
{
    is_writing[i] = false;
    other[i] = 0
}

inline forget()
{
    s = 0;
    m0 = 0;
    m1 = 0;
    if
    :: G_FORGET_G -> g = 0; j = 0; changes = 0; last_change = 0
    :: else
    fi;
    if
    :: G_FORGET_W -> lose_writer(0); lose_writer(1)
    :: else
    fi
}

inline take_out(i)
{
    lose_writer(i);
    ends[i] = 0;
    is_tracked[i] = false
}

inline forget_late()
{
    if
    :: G_LATE && (ends[0] == 2 || ends[1] == 2) ->
        if :: ends[0] == 2 -> take_out(0) :: else fi;
        if :: ends[1] == 2 -> take_out(1) :: else fi;
        forget()
    :: else
    fi
}

inline begin_write(i)
{
    forget_late();
    is_writing[i] = true;
    other[i] = 0;
    ends[i] = 1
}

#define IS_SURE(i) ((is_writing[i] || !G_FOUND) && (other[i] == 0 || other[i] == did || !G_DISAGREE))
#define IS_WHOLE   (s == 1 + m0 + m1)

/* Without its name it finds no writer, and its own is but one that overlaps. */
inline end_write(i, is_named, what)
{
    d_step {
        forget_late();
        did = what;
        is_sure = is_named && IS_SURE(i) || !is_named && !G_FOUND;
        if
        :: is_named -> take_out(i)
        :: !is_named && is_writing[i] -> other[i] = did
        :: else
        fi;
        if :: is_writing[1 - i] -> other[1 - i] = did :: else fi;
        if
        :: !is_sure || (did == UNKNOWN && G_UNKNOWN) || (s > 0 && !IS_WHOLE && G_COUNT_END) -> forget()
        :: else ->
            if
            :: did != UNKNOWN && s > 0 -> m0 = (did == PRESENT); s = 1 + m0 + m1
            :: did != UNKNOWN && s == 0 && g > 0 && G_CHANGES -> last_change = (did == PRESENT); changes++; j++
            :: else
            fi
        fi;
        did = 0;
        is_sure = false
    }
}

/* Of process 0. */
inline tell_drop()
{
    d_step {
        forget_late();
        if :: is_drop_named -> take_out(0) :: else fi;
        if :: is_writing[1] -> other[1] = UNKNOWN :: else fi;
        forget();
        has_drop = false;
        is_drop_named = false;
        acknowledge(0)
    }
}

/* ---- the processes ---- */

#define MUST_TELL(p) (p == 0 && has_drop && G_DROP && G_DROP_FIRST)
#define CAN_USE(p)   ((p == 1 || is_connected) && !MUST_TELL(p))

inline acknowledge(i)
{
    is_open[i] = false;
    is_own_open[i] = false
}

inline put(i, is_there)
{
    store = is_there;
    is_decided[i] = true;
    is_open[i] = true;
    is_own_open[i] = true
}

proctype Writer(byte i)
{
    byte did = 0;
    bool is_sure = false;
    bool is_named = false;
    byte what = 0;

    atomic {
        if
        :: CAN_USE(i) -> d_step { begin_write(i); is_named = true; is_tracked[i] = true }
        :: i == 0 && CAN_USE(i) -> d_step { begin_write(i); is_connected = false; is_named = !G_END_UNBEGUN }
        :: i == 0 -> d_step { late_begin = CAN_USE(i); is_connected = false; is_named = !G_END_UNBEGUN }
        fi
    }
    if
    :: d_step { put(i, 0); what = ABSENT }
    :: d_step { put(i, 1); what = PRESENT }
    :: d_step { put(i, 1 - store); what = UNKNOWN }
    :: d_step { is_open[i] = true; is_own_open[i] = true } goto unknown
    fi;
    if :: !G_END_ACK -> acknowledge(i) :: else fi;
    atomic {
        if
        :: CAN_USE(i) ->
            end_write(i, is_named, what);
            acknowledge(i)
        :: i == 0 ->
            d_step {
                if :: CAN_USE(i) && is_named -> late_end = what :: else fi;
                is_connected = false;
                if :: G_END_LOST -> has_drop = true; is_drop_named = is_named :: else fi;
                is_own_open[i] = false
            }
        fi;
        is_named = false;
        what = 0
    }
    goto over;

unknown: /* nobody ends it; its PUT arrives by its deadline or never */
    atomic {
        if :: store = 1 - store :: skip fi;
        is_decided[i] = true;
        is_named = false
    }
over:
    skip
}

bool has_begun_to_fill = false; /* the fillers are alike: the first one goes first */

proctype Filler(byte i)
{
    bit listed = 0;
    byte lease = 0;

    atomic {
        (i == 0 || has_begun_to_fill) && (CAN_USE(0) || CAN_USE(1));
        d_step {
            has_begun_to_fill = true;
            forget_late();
            if
            :: g == 0 && (s == 0 || (!IS_WHOLE && G_COUNT_READ)) ->
                s = 0;
                m0 = 0;
                m1 = 0;
                lease = (G_RANDOM -> 1 + i : 1);
                g = lease;
                if :: G_FRESH -> j = 0; changes = 0; last_change = 0 :: else fi
            :: else
            fi
        }
        if :: lease == 0 -> goto over :: else fi
    }
    d_step { listed = store; has_pieces[i] = true }
    if
    :: d_step {
        forget_late();
        if
        :: (g == lease || !G_LEASE) && (changes == j || !G_COUNT_CHANGES) && (has_pieces[i] || !G_COUNT_PIECES) ->
            m0 = listed && has_pieces[i];
            m1 = has_pieces[i];
            if :: changes > 0 -> m0 = last_change :: else fi;
            s = 1 + m0 + m1;
            g = 0;
            j = 0;
            changes = 0;
            last_change = 0
        :: else ->
            skip;
            if :: g == lease -> forget() :: else fi
        fi;
        has_pieces[i] = false;
        lease = 0;
        listed = 0
    }
    :: d_step { /* gives the lease back */
        forget_late();
        if :: g == lease -> g = 0 :: else fi;
        has_pieces[i] = false;
        lease = 0;
        listed = 0
    }
    fi;
over:
    skip
}

#define GIVES_A_PAGE (s > 0 && (IS_WHOLE || !G_COUNT_READ) && ((ends[0] != 2 && ends[1] != 2) || !G_LATE))
#define IS_WRONG(p)  (CAN_USE(p) && GIVES_A_PAGE && (!m1 || (m0 != store && !is_own_open[p] && !is_open[1 - p])))

/* What a page would be, at any time. */
proctype Page()
{
end:
    IS_WRONG(0) || IS_WRONG(1) -> assert(false)
}

/* ---- what happens to Redis and to connections ---- */

inline pass_deadline(i)
{
    ends[i] = 2;
    if :: is_tracked[i] -> acknowledge(i) :: else fi
}

/* A deadline that has passed and is lost before anybody looked is as one that has not. */
inline lose_deadline(i)
{
    if :: ends[i] == 2 && is_tracked[i] -> is_open[i] = true; is_own_open[i] = true :: else fi;
    if :: ends[i] > 0 -> is_tracked[i] = false :: else fi;
    ends[i] = 0
}

inline lose_state()
{
    s = 0;
    g = 0;
    j = 0;
    m0 = 0; /* what is left of them is never looked at */
    m1 = 0
}

inline lose_changes()
{
    changes = 0;
    last_change = 0
}

proctype World()
{
    byte did = 0;
    bool is_sure = false;
    byte losses_left = LOSSES;

end:
    do
    :: atomic {
        losses_left > 0 ->
        losses_left--;
        if /* one key is evicted */
        :: lose_state()
        :: m0 = 0; m1 = 0
        :: lose_changes()
        :: lose_writer(0); lose_writer(1)
        :: lose_deadline(0); lose_deadline(1)
        :: has_pieces[0] = false
        :: has_pieces[1] = false
        :: /* or it is another Redis */
            lose_state();
            lose_changes();
            lose_deadline(0);
            lose_deadline(1);
            lose_writer(0);
            lose_writer(1);
            late_begin = false;
            late_end = 0;
            is_connected = false;
            if :: !G_NAMESPACE -> s = 2; m1 = 1 :: else fi
        fi
    }
    :: atomic { ends[0] == 1 && (is_decided[0] || !G_DEADLINE) -> pass_deadline(0) }
    :: atomic { ends[1] == 1 && (is_decided[1] || !G_DEADLINE) -> pass_deadline(1) }
    :: atomic { /* their keys' time to live */
        (ends[0] > 0 || ends[1] > 0) && (ends[0] == 0 || is_decided[0]) && (ends[1] == 0 || is_decided[1]) &&
            ((s == 0 && g == 0) || !G_WRITERS_LIVE) ->
        if :: ends[0] > 0 -> pass_deadline(0) :: else fi;
        if :: ends[1] > 0 -> pass_deadline(1) :: else fi;
        take_out(0);
        take_out(1)
    }
    :: d_step { late_begin -> late_begin = false; begin_write(0) }
    :: atomic { late_end > 0 -> end_write(0, true, late_end); late_end = 0 }
    :: !is_connected -> is_connected = true
    :: atomic { is_connected && has_drop && G_DROP -> tell_drop() }
    od
}

init
{
    atomic {
        if
        :: s = 2; m1 = 1
        :: skip
        fi;
        run Writer(0);
        run Writer(1);
        run Filler(0);
        run Filler(1);
        run World();
        run Page()
    }
}
