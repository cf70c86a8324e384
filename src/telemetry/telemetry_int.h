/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to src/telemetry: one formatted line, and what the process knows about itself.
 */
#ifndef MINATO_TELEMETRY_INT_H
#define MINATO_TELEMETRY_INT_H

#include "minato/telemetry.h"

#define LOG_LINE_BYTES_MAX 8192u
#define LOG_TEXT_BYTES_MAX 2048u /* of one field; the rest is cut */

/* Writes one line with its newline, returns its length. A field that does not fit is left out, and the line then ends
 * with `truncated`. */
size_t log_int_format(char out[LOG_LINE_BYTES_MAX], enum config_log_format format, uint64_t wall_ms,
                      enum config_log_level level, const char *event, const struct log_field *fields, size_t count);

/* Memory, descriptors, CPU and start time of this process, as metrics. What cannot be read is left out. */
void metrics_int_render_process(struct strbuf *out);

#endif
