/* SPDX-License-Identifier: Apache-2.0
 *
 * When jobs begin. Closed loop: each client begins its next when the one before has ended. Open loop: jobs are due at a
 * fixed rate, wait for a client if none is free, and are timed from when they were due.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "must.h"
#include "output.h"

#define SECOND_NS 1000000000U
/* What runs when the time is over gets so much more. */
#define DRAIN_NS (60ULL * SECOND_NS)

struct schedule {
    bool (*next_job)(struct bench *bench, struct client *client, uint64_t number);
    uint64_t begun_ns;
    uint64_t end_ns;      /* no job begins later */
    uint64_t measure_ns;  /* jobs that are due before do not count */
    uint64_t interval_ns; /* 0: closed loop */
    uint64_t jobs_max;
    uint64_t jobs; /* begun */
    const char *name;
    bool is_setup;
    bool has_no_more;
};

/* ---- a job ---- */

/* The client is free for another. */
static void release(struct client *client)
{
    struct job *job = &client->job;
    if (job->owns_image) {
        image_free(job->image);
    }
    job->image = NULL;
    job->owns_image = false;
    client->is_busy = false;
    client->bench->busy_count--;
}

static void end_job(struct client *client, enum failure failure)
{
    struct bench *bench = client->bench;
    struct job *job = &client->job;
    if (job->is_measured) {
        stats_add_job(bench->stats, now_ns() - job->intended_ns, job->bytes_in, job->bytes_out, failure);
    }
    if (failure == FAILURE_NONE) {
        scenario_job_ended(bench, client);
    }
    release(client);
}

/* Asks the next thing, or the job is done. */
static void advance(struct client *client, uint64_t intended_ns)
{
    struct job *job = &client->job;
    while (job->phases[job->phase] != NULL) {
        exchange_reset(&client->exchange);
        if (job->phases[job->phase]->ask(client)) {
            exchange_start(&client->exchange, intended_ns, job->is_measured);
            return;
        }
        job->phase++;
        job->cursor = 0;
        job->upload_step = UPLOAD_FIND;
    }
    end_job(client, FAILURE_NONE);
}

static void on_answer(struct exchange *exchange)
{
    struct client *client = (struct client *)exchange;
    struct job *job = &client->job;
    const struct response *response = &exchange->response;
    uint64_t now = now_ns();
    enum operation operation = exchange->request.operation;
    uint64_t sent = exchange->request.blob != NULL ? response->sent : exchange->request.text_length;
    bool is_token = exchange->leg == LEG_TOKEN; /* failed, and counted as one */
    enum failure failure = response->failure;
    if (failure == FAILURE_NONE) {
        failure = job->phases[job->phase]->check(client);
    }
    job->bytes_in += response->received;
    job->bytes_out += sent;
    if (job->is_measured && !is_token) {
        stats_add_request(client->bench->stats, operation, now - exchange->intended_ns, response->received, sent,
                          failure);
    }
    if (failure != FAILURE_NONE) {
        end_job(client, failure);
    } else {
        advance(client, now);
    }
}

static bool begin_job(struct bench *bench, struct client *client, struct schedule *schedule, uint64_t intended_ns)
{
    struct job *job = &client->job;
    if (schedule->has_no_more || schedule->jobs == schedule->jobs_max ||
        !schedule->next_job(bench, client, schedule->jobs)) {
        schedule->has_no_more = true;
        return false;
    }
    schedule->jobs++;
    job->number = schedule->jobs;
    job->intended_ns = intended_ns;
    job->phase = 0;
    job->cursor = 0;
    job->upload_step = UPLOAD_FIND;
    job->bytes_in = 0;
    job->bytes_out = 0;
    job->is_measured = intended_ns >= schedule->measure_ns;
    client->is_busy = true;
    bench->busy_count++;
    advance(client, intended_ns);
    return true;
}

/* ---- the loop ---- */

static uint64_t due_ns(const struct schedule *schedule)
{
    return schedule->begun_ns + schedule->jobs * schedule->interval_ns;
}

/* Gives free clients what is due. A closed loop's job is due at once. */
static void begin_jobs(struct bench *bench, struct schedule *schedule)
{
    unsigned clients = bench->options->clients;
    for (unsigned i = 0; i < clients && bench->busy_count < clients; i++) {
        struct client *client = &bench->clients[i];
        uint64_t now = now_ns();
        uint64_t intended = schedule->interval_ns != 0 ? due_ns(schedule) : now;
        if (intended > now || intended >= schedule->end_ns) {
            return;
        }
        if (!client->is_busy && !begin_job(bench, client, schedule, intended)) {
            return;
        }
    }
}

/* Whether jobs are due, or will be. */
static bool has_more(const struct schedule *schedule, uint64_t now)
{
    return !schedule->has_no_more && schedule->jobs < schedule->jobs_max &&
           (schedule->interval_ns != 0 ? due_ns(schedule) : now) < schedule->end_ns;
}

static void show_progress(const struct bench *bench, const struct schedule *schedule)
{
    if (!bench->options->is_quiet && isatty(STDERR_FILENO)) {
        output_progress(stderr, bench->stats, schedule->name, bench->busy_count);
    }
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Until all that is due has been done. The seconds of the warm-up are forgotten when it is over. */
static void run_schedule(struct bench *bench, struct schedule *schedule)
{
    uint64_t now = now_ns();
    bool is_warming_up = now < schedule->measure_ns;
    while ((bench->busy_count > 0 || has_more(schedule, now)) && now < schedule->end_ns + DRAIN_NS) {
        begin_jobs(bench, schedule);
        if (bench->busy_count == 0 && schedule->has_no_more) {
            return;
        }
        uint64_t wake = earliest(stats_second_ends_ns(bench->stats), schedule->end_ns + DRAIN_NS);
        if (schedule->interval_ns != 0 && bench->busy_count < bench->options->clients && has_more(schedule, now)) {
            wake = earliest(wake, due_ns(schedule));
        }
        wake = is_warming_up ? earliest(wake, schedule->measure_ns) : wake;
        transport_turn(bench->transport, wake);
        now = now_ns();
        if (is_warming_up && now >= schedule->measure_ns) {
            stats_begin(bench->stats, schedule->measure_ns);
            is_warming_up = false;
        }
        if (stats_tick(bench->stats, now)) {
            show_progress(bench, schedule);
        }
        if (schedule->is_setup && bench->stats->errors > 0) {
            return;
        }
    }
}

/* What the setup leaves behind had its reason, which is told. */
static void add_unfinished(struct bench *bench, const struct schedule *schedule)
{
    if (!schedule->is_setup) {
        stats_add_unfinished_job(bench->stats);
    }
}

/* What is not through by now never will be: it timed out, what could not even begin as well. */
static void give_up(struct bench *bench, struct schedule *schedule)
{
    for (unsigned i = 0; i < bench->options->clients; i++) {
        struct client *client = &bench->clients[i];
        if (client->is_busy) {
            exchange_cancel(&client->exchange);
            release(client);
            add_unfinished(bench, schedule);
        }
    }
    for (; schedule->interval_ns != 0 && has_more(schedule, 0); schedule->jobs++) {
        add_unfinished(bench, schedule);
    }
}

/* ---- the run ---- */

static void make_clients(struct bench *bench)
{
    bench->clients = must(calloc(bench->options->clients, sizeof(*bench->clients)));
    for (unsigned i = 0; i < bench->options->clients; i++) {
        bench->clients[i].bench = bench;
        bench->clients[i].index = i;
        exchange_init(&bench->clients[i].exchange, bench->transport, on_answer);
    }
}

static void free_clients(struct bench *bench)
{
    for (unsigned i = 0; i < bench->options->clients; i++) {
        exchange_free(&bench->clients[i].exchange);
    }
    free(bench->clients);
    for (unsigned i = 0; i < bench->image_count; i++) {
        image_free(bench->images[i]);
    }
    free(bench->images);
    for (unsigned i = 0; i < bench->pushed_count; i++) {
        image_free(bench->pushed[(bench->pushed_begin + i) % PUSHED_MAX]);
    }
}

/* The first job, which asks what the registry wants to see, goes alone. */
static bool run_setup(struct bench *bench)
{
    struct schedule schedule = {
        .next_job = scenario_setup_job, .end_ns = UINT64_MAX / 2, .name = "setup", .is_setup = true};
    for (int round = 0; round < 2; round++) {
        schedule.jobs_max = round == 0 ? 1 : UINT64_MAX;
        schedule.has_no_more = false;
        stats_begin(bench->stats, now_ns());
        schedule.begun_ns = bench->stats->begun_ns;
        run_schedule(bench, &schedule);
        if (bench->stats->errors > 0) {
            fputs("minato-bench: what the load needs could not be prepared\n", stderr);
            give_up(bench, &schedule);
            stats_end(bench->stats, now_ns());
            return false;
        }
    }
    return true;
}

void load_run(struct bench *bench)
{
    const struct options *options = bench->options;
    make_clients(bench);
    scenario_prepare(bench);
    if (run_setup(bench)) {
        uint64_t begun = now_ns();
        uint64_t measured = begun + (uint64_t)(options->warmup_s * SECOND_NS);
        stats_begin(bench->stats, begun);
        struct schedule schedule = {.next_job = scenario_job,
                                    .begun_ns = begun,
                                    .measure_ns = measured,
                                    .end_ns = measured + (uint64_t)(options->duration_s * SECOND_NS),
                                    .interval_ns = options->rate > 0 ? (uint64_t)(SECOND_NS / options->rate) : 0,
                                    .jobs_max = options->jobs > 0 ? options->jobs : UINT64_MAX,
                                    .name = scenario_name(options->scenario)};
        run_schedule(bench, &schedule);
        give_up(bench, &schedule);
        stats_end(bench->stats, now_ns());
    }
    free_clients(bench);
}
