/* SPDX-License-Identifier: Apache-2.0
 *
 * The values of the OCI specifications, parsed once at the edge. Pure: no I/O, any thread. Everything that takes one of
 * these types relies on it having been parsed here, so an unchecked name cannot reach a path.
 */
#ifndef MINATO_OCI_H
#define MINATO_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "minato/arena.h"
#include "minato/result.h"
#include "minato/slice.h"

/* ---- digest: image-spec, descriptor.md "Digests" ---- */

enum digest_algorithm { DIGEST_SHA256, DIGEST_SHA512 };

#define DIGEST_BYTES_MAX 64
#define DIGEST_TEXT_MAX 135 /* "sha512:" and 128 hex characters */

struct digest {
    enum digest_algorithm algorithm;
    uint8_t bytes[DIGEST_BYTES_MAX]; /* digest_size() of them; the rest is zero */
};

/* "sha256:<64 lower-case hex>" or "sha512:<128>". UNSUPPORTED for another well-formed algorithm, else INVALID. */
enum result digest_parse(struct slice text, struct digest *ret_digest) NODISCARD;
size_t digest_size(enum digest_algorithm algorithm); /* bytes */
struct slice digest_algorithm_name(enum digest_algorithm algorithm);
/* Writes "<algorithm>:<hex>" without NUL; returns its length. */
size_t digest_format(const struct digest *d, char out[DIGEST_TEXT_MAX]);
struct slice digest_text(const struct digest *d, struct arena *arena);
bool digest_equal(const struct digest *a, const struct digest *b);

/* A hash under way whose state can be saved between requests. */
struct digest_state {
    enum digest_algorithm algorithm;
    uint64_t words[27]; /* holds OpenSSL's SHA256_CTX or SHA512_CTX */
};

void digest_state_init(struct digest_state *s, enum digest_algorithm algorithm);
void digest_state_update(struct digest_state *s, const void *bytes, size_t n);
/* Does not change the state: more may follow. */
void digest_state_final(const struct digest_state *s, struct digest *ret_digest);
#define DIGEST_STATE_SAVED_MAX 256
/* Versioned, endian-neutral bytes of ours. Returns the length written. */
size_t digest_state_save(const struct digest_state *s, uint8_t out[DIGEST_STATE_SAVED_MAX]);
/* INVALID if the bytes are not what digest_state_save writes. */
enum result digest_state_load(struct digest_state *s, const uint8_t *bytes, size_t n) NODISCARD;
void digest_of(enum digest_algorithm algorithm, struct slice bytes, struct digest *ret_digest);

/* ---- names: distribution-spec, "Pulling manifests" ---- */

#define REPO_NAME_MAX 255
#define TAG_MAX 128

struct repo_name {
    struct slice text; /* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/...)*, at most 255 bytes; borrowed */
};

struct tag {
    struct slice text; /* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}; borrowed */
};

enum result repo_name_parse(struct slice text, struct repo_name *ret_name) NODISCARD;
enum result tag_parse(struct slice text, struct tag *ret_tag) NODISCARD;

/* A manifest's name: a tag or a digest. Anything with a ':' is a digest. */
struct reference {
    bool is_digest;
    struct digest digest;
    struct tag tag;
};
enum result reference_parse(struct slice text, struct reference *ret_reference) NODISCARD;

/* ---- ranges ---- */

/* What a Range header (RFC 9110, 14.2) asks of a representation of `size` bytes. */
enum range_kind {
    RANGE_WHOLE,         /* no range, a unit we do not know, or several ranges: answer 200 with everything */
    RANGE_PART,          /* answer 206 */
    RANGE_UNSATISFIABLE, /* answer 416 with Content-Range: bytes asterisk/size */
};
struct byte_range {
    uint64_t first;
    uint64_t length;
};
enum range_kind range_parse(struct slice header, uint64_t size, struct byte_range *ret_range);

/* The upload form of Content-Range (distribution-spec, "Pushing a blob in chunks"): "<first>-<last>", inclusive;
 * "bytes <first>-<last>/<size or *>" is accepted too. INVALID otherwise. */
enum result content_range_parse(struct slice header, struct byte_range *ret_range) NODISCARD;

/* ---- media types and manifests ---- */

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

#define MANIFEST_DESCRIPTORS_MAX 16384
#define MANIFEST_JSON_DEPTH_MAX 64
#define MANIFEST_JSON_VALUES_MAX 131072 /* of any type, in the whole document: bounds what parsing allocates */
#define MEDIA_TYPE_MAX 255

struct descriptor {
    struct slice media_type;
    struct digest digest;
    uint64_t size;
    struct slice artifact_type;
    bool is_nondistributable; /* a foreign or nondistributable layer: its blob need not be here */
};

struct annotation {
    struct slice key;
    struct slice value;
};

/* What of a manifest a registry has to know; the bytes themselves are never changed. */
struct manifest {
    enum manifest_kind kind;
    struct slice media_type; /* the one it is served with */
    /* As referrers list it: its own, else of an image the config's media type. May be empty. */
    struct slice artifact_type;
    bool has_config;
    struct descriptor config;
    bool has_subject;
    struct descriptor subject;
    struct descriptor *children; /* layers of an image, manifests of an index */
    size_t child_count;
    struct annotation *annotations; /* of the manifest itself, as referrers list them */
    size_t annotation_count;
};

/* Parses a manifest that came with `content_type` (may be empty: then sniffed; parameters are ignored). Everything in
 * *ret is in `arena`. INVALID with a sentence in *ret_why (static or arena text); UNSUPPORTED for schema 1 and for
 * media types that are no manifest. Both without touching *ret. Limits: MANIFEST_JSON_DEPTH_MAX,
 * MANIFEST_JSON_VALUES_MAX, MANIFEST_DESCRIPTORS_MAX. Duplicate fields, and fields that differ from the
 * specification's only in case, are INVALID: clients would disagree about what they mean. */
enum result manifest_parse(struct slice bytes, struct slice content_type, struct arena *arena, struct manifest *ret,
                           struct slice *ret_why) NODISCARD;
/* The entry of a manifest in the list of its subject's referrers (distribution-spec, "Listing Referrers"): a descriptor
 * as JSON. Any thread, in `arena`. */
struct slice referrer_descriptor(const struct manifest *manifest, const struct digest *digest, uint64_t size,
                                 struct arena *arena);
/* The artifact type of such an entry, empty without one. INVALID if it is none. */
enum result referrer_artifact_type(struct slice descriptor, struct arena *arena, struct slice *ret_type) NODISCARD;
/* The media type to serve stored bytes with: their own "mediaType", or what their fields say they are. UNSUPPORTED
 * for schema 1 and for a "mediaType" that we do not know, CORRUPT if it is no manifest. More lenient than
 * manifest_parse: what an older registry accepted is served. The result is static text or in `arena`. */
enum result manifest_sniff(struct slice bytes, struct arena *arena, struct slice *ret_media_type) NODISCARD;

#endif
