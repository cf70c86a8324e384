/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps of the protocol that must be one: Lua, run by Redis. README.md tells the protocol and what the keys hold; a
 * reply's first element, if there is a reply, is a number that C switches on. Times are Redis' own, in milliseconds; a
 * life that is over when it is given removes the key.
 */
#include "redis_int.h"

#define NOW                                                                                                            \
    "local time = redis.call('TIME')\n"                                                                                \
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"

/* ---- values: KEYS[1] is a hash of `v`, or `g`, or writers with their deadlines ---- */

/* A reader that found no value: a lease, an older reader's if there is one, or none while somebody writes. What was
 * filled meanwhile it gets.
 * ARGV: a new lease, its life. */
static const char miss[] = NOW "local lease, is_written\n"
                               "local all = redis.call('HGETALL', KEYS[1])\n"
                               "for i = 1, #all, 2 do\n"
                               "  if all[i] == 'v' then return {1, all[i + 1]} end\n"
                               "  if all[i] == 'g' then lease = all[i + 1]\n"
                               "  elseif tonumber(all[i + 1]) > now then is_written = true end\n"
                               "end\n"
                               "if is_written then return {0} end\n"
                               "if not lease then\n"
                               "  lease = ARGV[1]\n"
                               "  redis.call('HSET', KEYS[1], 'g', lease)\n"
                               "  redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
                               "end\n"
                               "return {0, lease}\n";

/* While a lease stands nobody has begun to write since it was given. A value's life counts from then, and may be over.
 * ARGV: lease, value, its life, a lease's life. */
static const char fill[] = "if redis.call('HGET', KEYS[1], 'g') ~= ARGV[1] then return end\n"
                           "local left = ARGV[3] - ARGV[4] + redis.call('PTTL', KEYS[1])\n"
                           "redis.call('DEL', KEYS[1])\n"
                           "redis.call('HSET', KEYS[1], 'v', ARGV[2])\n"
                           "redis.call('PEXPIRE', KEYS[1], left)\n";

/* The key lives as long as its last writer may.
 * ARGV: writer, how long it may write. */
static const char begin[] = NOW "redis.call('HDEL', KEYS[1], 'v', 'g')\n"
                                "redis.call('HSET', KEYS[1], ARGV[1], now + ARGV[2])\n"
                                "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n";

/* A tag's value begins with the digest that it names.
 * ARGV: the keys of the repository's manifests without the digest. */
static const char read_tag[] = "local tag = redis.call('HGET', KEYS[1], 'v')\n"
                               "if not tag then return {} end\n"
                               "return {tag, redis.call('HGET', ARGV[1] .. string.match(tag, '^%S+'), 'v')}\n";

/* ---- lists ----
 *
 * KEYS: 1 state   hash   s: the number of members, if they are known; else g: lease, and j: number of changes
 *       2 members zset   known; a member's data stand behind it and a line feed
 *       3 changes list   since the lease, in order
 *       4 writers hash   member -> "<writer> <what the last did that overlapped and has ended; 0: none has> " for each
 *       5 ends    zset   deadline -> "<writer> <member>"
 * ARGV: 1 how long a write or a lease may last
 *
 * What is not understood is forgotten, and with it who is writing: their ends find no writer and forget once more.
 * Keys may be evicted one by one: counts tell. Past a writer's deadline the list is forgotten before anything else.
 * A Redis that is full refuses what needs memory, also in the middle of a script: what has been done until then must
 * make nothing wrong. */

#define LIST                                                                                                           \
    NOW "local state, members, changes, writers, ends = unpack(KEYS, 1, 5)\n"                                          \
        "local function forget()\n"                                                                                    \
        "  redis.call('UNLINK', state, members, writers)\n"                                                            \
        "end\n"                                                                                                        \
        "local function change(key, is_there, name, text)\n"                                                           \
        "  redis.call('ZREMRANGEBYLEX', key, '[' .. name, '(' .. name .. '\\11')\n"                                    \
        "  if is_there then redis.call('ZADD', key, 0, text) end\n"                                                    \
        "end\n"                                                                                                        \
        "if redis.call('ZREMRANGEBYSCORE', ends, '-inf', now) > 0 then forget() end\n"

/* ARGV: 2 a new lease, or empty: none is wanted, 3 from where, 4 most members, 5 most bytes of them. {1, more,
 * member...}, {0, lease}, or {2} while another reader has the lease. */
static const char list_read[] =
    LIST "local known = redis.call('HMGET', state, 's', 'g')\n"
         "if known[1] and redis.call('ZCARD', members) == tonumber(known[1]) then\n"
         "  local page = redis.call('ZRANGEBYLEX', members, ARGV[3], '+', 'LIMIT', 0, ARGV[4] + 1)\n"
         "  local reply, left = {1, 0}, tonumber(ARGV[5])\n"
         "  for i, text in ipairs(page) do\n"
         "    left = left - #text\n"
         "    if i > tonumber(ARGV[4]) or (i > 1 and left < 0) then reply[2] = 1 break end\n"
         "    reply[i + 2] = text\n"
         "  end\n"
         "  return reply\n"
         "end\n"
         "if known[2] then return {2} end\n"
         "if ARGV[2] == '' then return {0} end\n"
         "redis.call('UNLINK', state, changes)\n"
         "redis.call('HSET', state, 'g', ARGV[2])\n"
         "redis.call('PEXPIRE', state, ARGV[1])\n"
         "return {0, ARGV[2]}\n";

/* KEYS: 1 what a reader of the store has read so far. ARGV: 1 how long it is kept, then members with their data. */
static const char list_piece[] = "local words = {}\n"
                                 "for i = 2, #ARGV do\n"
                                 "  words[2 * i - 3] = 0\n"
                                 "  words[2 * i - 2] = ARGV[i]\n"
                                 "end\n"
                                 "redis.call('ZADD', KEYS[1], unpack(words))\n"
                                 "redis.call('PEXPIRE', KEYS[1], ARGV[1])\n";

/* An empty list is known for a shorter time: anybody may ask for lists of what is not there.
 * KEYS: 6 what the reader of the store put there. ARGV: 2 lease, 3 number of members, 4 how long it may be known, 5 and
 * how long if it is empty. */
static const char list_install[] =
    LIST "local known = redis.call('HMGET', state, 'g', 'j')\n"
         "local since = redis.call('LRANGE', changes, 0, -1)\n"
         "local is_whole = #since == tonumber(known[2] or 0) and redis.call('ZCARD', KEYS[6]) == tonumber(ARGV[3])\n"
         "local left = ARGV[4] - ARGV[1] + redis.call('PTTL', state)\n"
         "if known[1] ~= ARGV[2] or not is_whole then\n"
         "  redis.call('UNLINK', KEYS[6])\n"
         "  if known[1] == ARGV[2] then forget() end\n"
         "  return\n"
         "end\n"
         "for _, what in ipairs(since) do\n"
         "  local text = string.sub(what, 2)\n"
         "  change(KEYS[6], string.sub(what, 1, 1) == '+', string.match(text, '^[^\\n]*'), text)\n"
         "end\n"
         "redis.call('UNLINK', state, members)\n"
         "if redis.call('EXISTS', KEYS[6]) == 1 then\n"
         "  redis.call('RENAME', KEYS[6], members)\n"
         "  redis.call('PEXPIRE', members, left)\n"
         "end\n"
         "local count = redis.call('ZCARD', members)\n"
         "redis.call('HSET', state, 's', count)\n"
         "redis.call('PEXPIRE', state, count > 0 and left or math.min(left, ARGV[5]))\n";

/* ARGV: 2 lease. */
static const char list_give_back[] =
    LIST "if redis.call('HGET', state, 'g') == ARGV[2] then redis.call('HDEL', state, 'g') end\n";

/* ARGV: 2 writer, 3 member, 4 how long the writers must be remembered: longer than any list that is known now. */
static const char list_begin[] = LIST "local others = redis.call('HGET', writers, ARGV[3]) or ''\n"
                                      "redis.call('HSET', writers, ARGV[3], others .. ARGV[2] .. ' 0 ')\n"
                                      "redis.call('ZADD', ends, now + ARGV[1], ARGV[2] .. ' ' .. ARGV[3])\n"
                                      "redis.call('PEXPIRE', writers, ARGV[4])\n"
                                      "redis.call('PEXPIRE', ends, ARGV[4])\n";

/* ARGV: 2 writer, 3 member, 4 "+", "-" or "?", 5 its data, 6 most changes. */
static const char list_end[] =
    LIST "local writer, name, is_there, data = ARGV[2], ARGV[3], ARGV[4] == '+', ARGV[5]\n"
         "local did = is_there and '+' .. redis.sha1hex(data) or ARGV[4]\n"
         "local mine, others = nil, ''\n"
         "for w, other in string.gmatch(redis.call('HGET', writers, name) or '', '(%S+) (%S+)') do\n"
         "  if w == writer then mine = other else others = others .. w .. ' ' .. did .. ' ' end\n"
         "end\n"
         "redis.call('ZREM', ends, writer .. ' ' .. name)\n"
         "local known = redis.call('HMGET', state, 's', 'g')\n"
         "local is_whole = not known[1] or redis.call('ZCARD', members) == tonumber(known[1])\n"
         "if (mine ~= '0' and mine ~= did) or not is_whole or did == '?' or name == '' then\n"
         "  forget()\n"
         "  return\n"
         "end\n"
         "if others == '' then\n"
         "  redis.call('HDEL', writers, name)\n"
         "else\n"
         "  redis.call('HSET', writers, name, others)\n"
         "end\n"
         "local text = data == '' and name or name .. '\\n' .. data\n"
         "if known[1] then\n"
         "  change(members, is_there, name, text)\n"
         "  redis.call('HSET', state, 's', redis.call('ZCARD', members))\n"
         "  redis.call('PEXPIRE', members, redis.call('PTTL', state))\n"
         "elseif known[2] then\n"
         "  redis.call('RPUSH', changes, ARGV[4] .. text)\n"
         "  redis.call('PEXPIRE', changes, ARGV[1])\n"
         "  if redis.call('HINCRBY', state, 'j', 1) > tonumber(ARGV[6]) then forget() end\n"
         "end\n";

const char *const index_int_redis_scripts[REDIS_SCRIPTS] = {
    [REDIS_MISS] = miss,
    [REDIS_FILL] = fill,
    [REDIS_BEGIN] = begin,
    [REDIS_READ_TAG] = read_tag,
    [REDIS_LIST_READ] = list_read,
    [REDIS_LIST_PIECE] = list_piece,
    [REDIS_LIST_INSTALL] = list_install,
    [REDIS_LIST_GIVE_BACK] = list_give_back,
    [REDIS_LIST_BEGIN] = list_begin,
    [REDIS_LIST_END] = list_end,
};
