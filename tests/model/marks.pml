/* SPDX-License-Identifier: Apache-2.0
 *
 * Pushes and deletes of replicas that share a store (src/registry/store_lock.c), on one layer and one
 * manifest that names it: two pushers of the manifest and two deleters of the layer, each at a replica of its own, and
 * an upload that brings the layer back. A process that is not run any more has crashed, at whatever step. What it wrote
 * last arrives at any time before its objects are stale, or never.
 *
 * Every guard of the protocol is a macro; with -DG_X=0 it is taken out, and protocol.py shows that spin then finds a
 * violation: a manifest without its layer, or processes that wait for each other.
 */

#ifndef G_INTENT_FIRST
#define G_INTENT_FIRST 1 /* a pusher says what it names before it looks for marks */
#endif
#ifndef G_MARK_FIRST
#define G_MARK_FIRST 1 /* a deleter marks before it looks for intents */
#endif
#ifndef G_YIELD
#define G_YIELD 1 /* a pusher does not go on beside a mark */
#endif
#ifndef G_WITHDRAW
#define G_WITHDRAW 1 /* it takes its intent back before it waits */
#endif
#ifndef G_AGAIN
#define G_AGAIN 1 /* and after that begins anew */
#endif
#ifndef G_WAIT
#define G_WAIT 1 /* a deleter waits for the intents that it found */
#endif
#ifndef G_LAYER_LAST
#define G_LAYER_LAST 1 /* a pusher looks for the layer when there is no mark */
#endif
#ifndef G_REFERENCES_LAST
#define G_REFERENCES_LAST 1 /* a deleter looks for references when there is no intent */
#endif
#ifndef G_LEASE_PUSH
#define G_LEASE_PUSH 1 /* a pusher begins no write after its lease */
#endif
#ifndef G_LEASE_DELETE
#define G_LEASE_DELETE 1 /* nor does a deleter */
#endif
#ifndef G_RENEW
#define G_RENEW 1 /* a lease that is over is not renewed */
#endif
#ifndef G_STALE_LEASE
#define G_STALE_LEASE 1 /* nothing is stale while its writer has a lease */
#endif
#ifndef G_STALE_WRITE
#define G_STALE_WRITE 1 /* nor while the last write begun under it may still arrive */
#endif
#ifndef G_LEAVE_PUSH
#define G_LEAVE_PUSH 1 /* an intent stays when the outcome of a write is not known */
#endif
#ifndef G_LEAVE_DELETE
#define G_LEAVE_DELETE 1 /* and so does a mark */
#endif
#ifndef G_OWN_KEY
#define G_OWN_KEY 1 /* each mark is an object of its own: who removes a stale one cannot take another */
#endif

#define NONE 255
#define KEY(d) (G_OWN_KEY -> d : 0)
#define PUSHER(i) (i)
#define DELETER(i) (2 + (i))

/* the store */
bool layer = true;
bool manifest = false;
byte intent[2] = NONE; /* of a pusher: which of its attempts */
byte mark[2] = NONE;   /* by key: whose */

/* the writers: pushers, then deleters */
bool has_time;   /* leases end, writes get lost; else whatever is waited for must come by itself */
bool is_over[4]; /* its lease */
bool is_sent[4]; /* a write of it is on its way */
bool is_made[4]; /* has arrived */

/* A lease ends when somebody finds its object stale: that it ended sooner is as if its holder had crashed. */
#define MAY_BE_STALE(w) (has_time && (!is_sent[w] || !G_STALE_WRITE))
#define END_LEASE(w) is_over[w] = is_over[w] || G_STALE_LEASE

/* The way of a write to the store. */
proctype Write(byte w)
{
end:
    atomic {
        is_sent[w];
        if
        :: w < 2 -> manifest = true; is_made[w] = true
        :: w >= 2 -> layer = false; is_made[w] = true
        :: has_time /* lost */
        fi;
        is_sent[w] = false;
        assert(layer || !manifest)
    }
}

/* Sends the one write of a process, or not: true if it may still arrive when the process ends. */
inline write(w, has_lease, ret_is_unknown)
{
#if !G_RENEW
    is_over[w] = false;
#endif
    atomic {
        if
        :: has_lease && is_over[w] -> ret_is_unknown = false
        :: else -> is_sent[w] = true; ret_is_unknown = true
        fi
    }
    if
    :: !ret_is_unknown
    :: is_made[w] -> ret_is_unknown = false
    :: ret_is_unknown && has_time
    fi
}

/* Until the mark that was found is gone, or stale: then it is removed. */
inline wait_for_mark(k)
{
    if
    :: found[k] != NONE ->
        if
        :: mark[k] != found[k]
#if G_OWN_KEY
        :: atomic { mark[k] == found[k] && MAY_BE_STALE(DELETER(k)) -> END_LEASE(DELETER(k)); mark[k] = NONE }
#else
        :: atomic { mark[k] == found[k] && MAY_BE_STALE(DELETER(found[k])) -> END_LEASE(DELETER(found[k])) };
           mark[k] = NONE /* whatever is there by now: no store compares and deletes */
#endif
        fi
    :: else
    fi;
    found[k] = NONE
}

/* An intent's key is of one attempt. */
inline wait_for_intent(k)
{
    if
    :: found[k] != NONE ->
        if
        :: intent[k] != found[k]
        :: atomic { intent[k] == found[k] && MAY_BE_STALE(PUSHER(k)) -> END_LEASE(PUSHER(k)); intent[k] = NONE }
        fi
    :: else
    fi;
    found[k] = NONE
}

proctype Pusher(byte i)
{
    byte attempt = 0;
    byte found[2];
    bool has_layer = false, is_unknown;

again:
#if !G_LAYER_LAST
    has_layer = layer;
#endif
#if G_INTENT_FIRST
    atomic { attempt++; intent[i] = attempt };
#endif
    atomic { found[0] = mark[0]; found[1] = mark[1] };
#if !G_INTENT_FIRST
    atomic { attempt++; intent[i] = attempt };
#endif
#if G_YIELD
    if
    :: found[0] != NONE || found[1] != NONE ->
#if G_WITHDRAW
        intent[i] = NONE;
#endif
        wait_for_mark(0);
        wait_for_mark(1);
#if G_AGAIN
        goto again
#endif
    :: else
    fi;
#endif
#if G_LAYER_LAST
    has_layer = layer;
#endif
    if
    :: has_layer -> write(PUSHER(i), G_LEASE_PUSH, is_unknown)
    :: else -> is_unknown = false
    fi;
    if
    :: is_unknown && G_LEAVE_PUSH
    :: else -> intent[i] = NONE
    fi
}

proctype Deleter(byte j)
{
    byte found[2];
    bool is_named = false, is_unknown;

#if !G_REFERENCES_LAST
    is_named = manifest;
#endif
#if !G_MARK_FIRST
    atomic { found[0] = intent[0]; found[1] = intent[1] };
#endif
#if G_OWN_KEY
    mark[j] = j;
#else
    do
    :: atomic { mark[0] == NONE -> mark[0] = j; break }
    :: atomic { mark[0] != NONE && MAY_BE_STALE(DELETER(mark[0])) -> END_LEASE(DELETER(mark[0])) };
       mark[0] = NONE /* whatever is there by now */
    od;
#endif
#if G_MARK_FIRST
    atomic { found[0] = intent[0]; found[1] = intent[1] };
#endif
#if G_WAIT
    wait_for_intent(0);
    wait_for_intent(1);
#endif
#if G_REFERENCES_LAST
    is_named = manifest;
#endif
    if
    :: is_named -> is_unknown = false
    :: else -> write(DELETER(j), G_LEASE_DELETE, is_unknown)
    fi;
    if
    :: is_unknown && G_LEAVE_DELETE
    :: else -> mark[KEY(j)] = NONE
    fi
}

/* Brings the layer back; it asks nobody. */
proctype Upload()
{
end:
    atomic { !layer -> layer = true }
}

init
{
    atomic {
        if
        :: has_time = true
        :: skip
        fi;
        run Write(0);
        run Write(1);
        run Write(2);
        run Write(3);
        run Pusher(0);
        run Pusher(1);
        run Deleter(0);
        run Deleter(1);
        run Upload()
    }
}
