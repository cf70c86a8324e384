/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration file: any bytes either load or are refused with at least one line, and never crash. The part behind
 * a NUL byte is given as one environment variable.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/config/config_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config = {0};
    struct arena arena;
    struct strbuf why;
    arena_init(&arena);
    strbuf_init(&why, 1 << 20);
    struct config_loader l = {.config = &config, .arena = &arena, .why = &why};
    config_int_apply_defaults(&l);
    struct slice yaml = slice_of((const char *)data, size);
    struct slice variable;
    bool has_variable = slice_split(yaml, '\0', &yaml, &variable);
    config_int_apply_yaml(&l, "fuzz.yaml", yaml);
    if (has_variable) {
        char *environment[] = {arena_cstr(&arena, arena_format(&arena, "MINATO_%.*s", SLICE_ARG(variable))), NULL};
        config_int_apply_environment(&l, environment);
    }
    if (l.mistakes == 0)
        config_int_check(&l);
    if ((l.mistakes > 0) != (why.len > 0))
        abort();
    strbuf_done(&why);
    arena_done(&arena);
    return 0;
}
