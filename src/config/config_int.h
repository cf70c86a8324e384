/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to src/config: the key table's type, and what one load carries from the file over the environment to the
 * checks. All on the thread that calls config_load.
 */
#ifndef MINATO_CONFIG_INT_H
#define MINATO_CONFIG_INT_H

#include "minato/arena.h"
#include "minato/config.h"

#define CONFIG_KEYS_MAX 96
#define CONFIG_MISTAKES_MAX 20
#define CONFIG_FILE_BYTES_MAX (1024u * 1024u)
#define CONFIG_SECRET_BYTES_MIN 32u
#define CONFIG_SECRET_BYTES_MAX 4096u
#define CONFIG_LIST_ITEMS_MAX 64u
#define CONFIG_TEXT_BYTES_MAX 4096u
#define CONFIG_NAME_BYTES_MAX 96u

enum config_kind {
    CONFIG_TEXT,     /* char * */
    CONFIG_SECRET,   /* struct secret; also as <key>_file */
    CONFIG_LIST,     /* struct config_list; one text counts as a list of one */
    CONFIG_BOOL,     /* bool */
    CONFIG_COUNT,    /* unsigned */
    CONFIG_SIZE,     /* uint64_t, bytes */
    CONFIG_DURATION, /* uint64_t, milliseconds */
    CONFIG_CHOICE,   /* an enum: the position of the text in `choices` */
};

/* One key. The table in keys.c is the only list of keys: file, environment, defaults and messages are made from it. */
struct config_key {
    const char *name; /* dotted: "http.listen" */
    enum config_kind kind;
    size_t offset;        /* in struct config */
    const char *fallback; /* the default, as one would write it; NULL: not set */
    uint64_t min, max;    /* of counts, sizes and durations */
    bool may_be_zero;     /* 0 is allowed below `min` and means "none" or "chosen" */
    const char *choices[6];
    bool (*is_valid)(struct slice text); /* of texts, secrets and list items; NULL: anything */
    const char *expected;                /* of texts, secrets and lists: what `is_valid` wants */
};

extern const struct config_key config_int_keys[];
extern const size_t config_int_key_count;

const struct config_key *config_int_find_key(struct slice name);
/* Whether `name` is a mapping that holds keys; the empty name is the whole file. */
bool config_int_is_section(struct slice name);
/* For a key that a later version brings: what this one does instead. NULL for all others. */
const char *config_int_find_later(struct slice name);
/* The key whose name is closest. */
const struct config_key *config_int_nearest(struct slice name);
/* The names directly below `section`: "delete, filesystem". */
void config_int_append_children(struct strbuf *out, struct slice section);
/* What a value of this key looks like, for messages. */
void config_int_append_expected(struct strbuf *out, const struct config_key *key);
size_t config_int_edit_distance(struct slice a, struct slice b);

/* Where a value came from. Neither file nor variable: the default. */
struct config_source {
    const char *file;
    unsigned line;
    const char *variable;
};

struct config_loader {
    struct config *config;
    struct arena *arena; /* of everything `config` points to */
    struct strbuf *why;
    unsigned mistakes;
    struct config_source sources[CONFIG_KEYS_MAX]; /* by position in the table */
};

/* One line of the operator's list: "file:line: name: found ..., expected ...". Lines after CONFIG_MISTAKES_MAX are
 * counted only. */
void config_int_mistake(struct config_loader *l, const struct config_source *source, struct slice name,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));
struct config_source *config_int_source(struct config_loader *l, const struct config_key *key);
/* `text` in quotes, escaped, shortened: for "found ...". */
void config_int_append_quoted(struct strbuf *out, struct slice text);

/* Each stores a value, or adds a mistake. `items` of a list come already trimmed. */
void config_int_set_text(struct config_loader *l, const struct config_key *key, const struct config_source *source,
                         struct slice text);
void config_int_set_list(struct config_loader *l, const struct config_key *key, const struct config_source *source,
                         const struct slice *items, size_t count);
void config_int_set_secret_file(struct config_loader *l, const struct config_key *key,
                                const struct config_source *source, struct slice path);

/* Numbers with units: "64MiB", "10GB", "4096"; "500ms", "30s", "5m", "12h", "7d", "0". */
enum result config_int_parse_size(struct slice text, uint64_t *ret_bytes) NODISCARD;
enum result config_int_parse_duration(struct slice text, uint64_t *ret_ms) NODISCARD;
/* The largest unit that writes `value` without a fraction. */
void config_int_append_size(struct strbuf *out, uint64_t bytes);
void config_int_append_duration(struct strbuf *out, uint64_t ms);

/* Grammars of texts, for the table. */
bool config_int_is_listen(struct slice text);
bool config_int_is_listener(struct slice text);
bool config_int_is_network(struct slice text);
bool config_int_is_url(struct slice text);
bool config_int_is_base_url(struct slice text);
bool config_int_is_realm(struct slice text);
bool config_int_is_path(struct slice text);
bool config_int_is_secret(struct slice text);
bool config_int_is_credential(struct slice text);
bool config_int_is_name(struct slice text);
bool config_int_is_key_prefix(struct slice text);
bool config_int_is_redis_url(struct slice text);

/* The parts of a load, in this order. */
void config_int_apply_defaults(struct config_loader *l);
/* IO or NOT_FOUND if the file cannot be read; what is wrong inside it becomes mistakes. */
enum result config_int_apply_file(struct config_loader *l, const char *path) NODISCARD;
/* The same for text in memory (the fuzzer's way in). */
void config_int_apply_yaml(struct config_loader *l, const char *file, struct slice yaml);
void config_int_apply_environment(struct config_loader *l, char *const *environment);
/* What no single key can know. */
void config_int_check(struct config_loader *l);

/* Reads at most `max` bytes and a NUL, malloc'ed. TOO_LARGE over it; errno tells about the others. */
enum result config_int_read_file(const char *path, size_t max, char **ret_text, size_t *ret_len) NODISCARD;

#endif
