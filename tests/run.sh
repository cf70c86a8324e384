#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what the tests need, builds, runs every test, and ends with "N passed, N failed, N skipped".
# What each phase wrote stays in build/test-results until the next run.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: tests/run.sh [OPTION]...

  --all            the long tiers too: minutes of fuzzing a target, 200 crash rounds, 1 GB layers, clang-tidy, clients in Go,
                   ten minutes of mixed load, a small run of bench/compare
  --only PATTERN   only phases and tests whose name contains PATTERN (a regular expression of bash)
  --list           print the names of the phases
  --help           this text

Phases: format architecture model unit tsan fuzz api adoption s3 outages conformance clients crash bench quickstart (and tidy,
soak with --all)

With Go at hand, the phase conformance builds the OCI distribution-spec's conformance program, and --all also builds crane,
oras, regctl, helm and cosign for the phase clients: once, into ${XDG_CACHE_HOME:-~/.cache}/minato-tests. Without Go
they count as skipped.
USAGE
}

phases=(format architecture model unit tsan fuzz api adoption s3 outages conformance clients crash bench quickstart)
all=
only=
while [[ $# -gt 0 ]]; do
    case $1 in
    --all) all=yes ;;
    --only)
        [[ $# -gt 1 ]] || { echo "run.sh: --only needs a pattern" >&2; exit 2; }
        only=$2
        shift
        ;;
    --list)
        printf '%s\n' "${phases[@]}" tidy soak
        exit 0
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        echo "run.sh: unknown argument '$1'; try --help" >&2
        exit 2
        ;;
    esac
    shift
done
[[ -z $all ]] || phases+=(tidy soak)

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
# shellcheck source=deploy/packages.sh
source deploy/packages.sh
results=$root/build/test-results
begun=$SECONDS
python=/usr/bin/python3
export PYTHONDONTWRITEBYTECODE=1

# ---- helpers --------------------------------------------------------------------------------------------------------

say() {
    printf '[%4ds] %s\n' $((SECONDS - begun)) "$*"
}

# Each lane is a process group of its own: when this script ends early, also by Ctrl-C, what it started ends with it.
lanes=()
stop_lanes() {
    local pid
    for pid in "${lanes[@]}"; do
        kill -TERM -- "-$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
}
trap stop_lanes EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Tests get no proxies and no CA bundles of this machine: everything they talk to is on loopback. And no CI, which
# makes pytest print megabytes where two blobs differ.
clean() {
    env -u CI -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY -u ALL_PROXY -u all_proxy -u no_proxy -u NO_PROXY \
        -u SSL_CERT_FILE -u SSL_CERT_DIR -u CURL_CA_BUNDLE -u REQUESTS_CA_BUNDLE "$@"
}

wanted() { # PHASE: without a pattern, when it matches, or when the pattern names a test rather than a phase
    local phase
    [[ -z $only ]] && return 0
    [[ $1 =~ $only ]] && return 0
    for phase in "${phases[@]}"; do
        [[ $phase =~ $only ]] && return 1
    done
    [[ $1 != format && $1 != conformance && $1 != quickstart && $1 != tidy ]]
}

names_a_phase() {
    local phase
    for phase in "${phases[@]}"; do
        [[ $phase =~ $only ]] && return 0
    done
    return 1
}

selected() { # TEST: whether a test of a wanted phase is to run
    [[ -z $only ]] || names_a_phase || [[ $1 =~ $only ]]
}

outcome() { # LIST NAME CODE
    if [[ $3 -eq 0 ]]; then
        echo "pass $2" >>"$results/$1.list"
    else
        echo "fail $2" >>"$results/$1.list"
    fi
}

build() { # PRESET [TARGET...]: its outcome is a test only when it fails
    local preset=$1 log=$results/build.$1.log code=0
    shift
    local targets=()
    [[ $# -eq 0 ]] || targets=(--target "$@")
    (cmake --preset "$preset" && nice cmake --build --preset "$preset" -j 2 "${targets[@]}") >"$log" 2>&1 || code=$?
    if [[ $code -ne 0 ]]; then
        say "the $preset build failed"
        echo "fail $preset" >>"$results/build.list"
        mv "$log" "$results/build.$preset.full"
        { grep -E -A6 'error:|warning:|FAILED' "$results/build.$preset.full" || tail -n 40 "$results/build.$preset.full"; } |
            head -n 40 >"$log" || true
        return 1
    fi
    say "built $preset"
}

# Downloads need this machine's proxies: these are built before what runs without them.
build_go() { # NAME...: a program that cannot be built, or not here, is told by the tests that need it
    tests/support/go_tools.py "$@" >"$results/go.log" 2>&1 || true
    say "programs in Go: $*"
}

run_pytest() { # NAME BINARY ARGUMENT...
    local name=$1 binary=$2 code=0 limit=1200
    shift 2
    [[ -z $all ]] || limit=7200
    local filter=()
    if [[ -n $only ]] && ! names_a_phase; then
        filter=(-k "${only//|/ or }")
    fi
    clean env MINATO_BINARY="$binary" MINATO_TESTS_ALL="$all" timeout --foreground -k 60 "$limit" \
        "$python" -m pytest -q -p no:cacheprovider --tb=short --junitxml="$results/$name.xml" -o junit_family=xunit1 \
        -o junit_logging=all -o junit_suite_name="$name" --rootdir="$root/tests" --durations=10 "${filter[@]}" "$@" \
        >"$results/$name.log" 2>&1 </dev/null || code=$?
    # 5: no test matched the pattern
    if [[ $code -ne 0 && $code -ne 1 && ! ($code -eq 5 && -n $only) ]]; then
        tail -n 40 "$results/$name.log" >"$results/pytest.$name.log" || true
        echo "fail $name" >>"$results/pytest.list"
    fi
    if [[ $code -eq 5 ]]; then
        rm -f "$results/$name.xml"
    fi
    say "$name: $(tail -n 1 "$results/$name.log")"
}

# ---- phases -----------------------------------------------------------------------------------------------------------

phase_format() {
    local code=0
    git ls-files -z --cached --others --exclude-standard -- '*.c' '*.h' |
        xargs -0 clang-format --dry-run --Werror >"$results/format.clang-format.log" 2>&1 || code=$?
    outcome format clang-format "$code"
    say "format: exit code $code"
}

phase_soak() {
    run_pytest soak "$root/build/release/minato" tests/soak
}

phase_tidy() {
    local code=0
    git ls-files -z -- 'src/*.c' 'storage-drivers/*.c' |
        xargs -0 -n 4 -P 2 clang-tidy --quiet -p build/fuzz >"$results/tidy.clang-tidy.log" 2>&1 || code=$?
    outcome tidy clang-tidy "$code"
    say "tidy: exit code $code"
}

phase_architecture() {
    run_pytest architecture "$root/build/release/minato" tests/architecture
}

# Protocols, without the program: spin tries every interleaving.
phase_model() {
    run_pytest model "$root/build/release/minato" tests/model
}

# Each cmocka program of a build; every test in it counts.
run_cmocka() { # PREFIX FOLDER [PATTERN]: but those whose names end in PATTERN
    local prefix=$1 folder=$2 except=${3:-} program name code
    while IFS= read -r program; do
        name=$(basename "$program")
        selected "$name" || continue
        [[ -z $except || ! $name =~ $except$ ]] || continue
        code=0
        (cd "$root" && clean env CMOCKA_MESSAGE_OUTPUT=TAP \
            ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
            TSAN_OPTIONS="suppressions=$root/tests/support/tsan.supp" \
            timeout --foreground -k 10 300 "$program" >"$results/$prefix-$name.tap" 2>&1 </dev/null) || code=$?
        echo "$code" >"$results/$prefix-$name.exit"
    done < <(find "$folder/tests" -maxdepth 1 -type f -name '*_test_*' -executable | sort)
    say "$prefix: $(cat "$results/$prefix"-*.tap 2>/dev/null | grep -c '^ok ') tests passed"
}

phase_unit() {
    run_cmocka unit "$root/build/asan" '_test_(storage_s3(v2)?|index_redis(_keys)?)' # phase_s3 runs them
}

# libh2o and the other libraries are not instrumented: tests/support/tsan.supp says what that hides.
phase_tsan() {
    # Thousands of faults and interleavings on one loop: nothing for it to see, at ten times the cost.
    run_cmocka tsan "$root/build/tsan" '_test_(push_faults|content_faults|races|storage_s3|storage_s3v2|index_redis|index_redis_keys)'
    if names_a_phase || [[ -z $only ]]; then
        run_pytest tsan-server "$root/build/tsan/minato" tests/api -m threads
        run_pytest tsan-s3 "$root/build/tsan/minato" tests/s3 -m threads
    fi
}

# One test per target: what it once crashed on, the corpus, then some time of new inputs.
phase_fuzz() {
    local target name seconds=10
    [[ -z $all ]] || seconds=180
    local running=0
    while IFS= read -r target; do
        name=$(basename "$target")
        selected "$name" || continue
        fuzz_one "$target" "$name" "$seconds" &
        running=$((running + 1))
        if [[ $((running % 2)) -eq 0 ]]; then
            wait
        fi
    done < <(find "$root/build/fuzz/tests" -maxdepth 1 -type f -name 'fuzz_*' -executable | sort)
    wait
    say "fuzz: $running targets, $seconds s each"
}

fuzz_one() { # PROGRAM NAME SECONDS
    local code=0 work=$results/fuzz-$2 short=${2#fuzz_} folder
    mkdir -p "$work/corpus"
    local known=()
    for folder in "tests/fuzz/corpus/$short" "tests/fuzz/corpus/$2" "tests/fuzz/regressions/$short" \
        "tests/fuzz/regressions/$2"; do
        [[ ! -d $folder ]] || known+=("$folder")
    done
    (cd "$work" && clean timeout --foreground -k 10 "$(($3 + 120))" "$1" -max_total_time="$3" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$work/" -print_final_stats=1 corpus "${known[@]/#/$root/}" </dev/null) \
        >"$results/fuzz.$2.log" 2>&1 || code=$?
    outcome fuzz "$2" "$code"
}

phase_api() {
    run_pytest api "$root/build/asan/minato" tests/api --ignore tests/api/quickstart.py
    MINATO_TESTS_PROTOCOL=h2 run_pytest api-h2 "$root/build/asan/minato" "${both_protocols[@]}"
}
# What the registry does is the same over HTTP/2, and on S3.
both_protocols=(tests/api/{push_and_pull,upload_sessions,ranges_and_conditions,manifests,tags,deletes,mounts,referrers}.py
    tests/api/{catalog,conditional_tags,tag_parameters,digests_hold,access,every_route}.py)

# Folders that Docker Registry wrote or will read, with the real one.
phase_adoption() {
    run_pytest adoption "$root/build/asan/minato" tests/adoption
}

# With Ceph's gateway and Redis, which the tests start.
phase_s3() {
    local ignored=()
    for file in "${outages[@]}"; do
        ignored+=(--ignore "$file")
    done
    run_pytest s3 "$root/build/asan/minato" tests/s3 "${ignored[@]}"
    MINATO_TESTS_STORE=s3 run_pytest api-s3 "$root/build/asan/minato" "${both_protocols[@]}"
}

# What waits more than it works: for deadlines, for keys to end, for servers to take over.
phase_outages() {
    run_pytest outages "$root/build/asan/minato" "${outages[@]}"
}
outages=(tests/s3/{credentials,faults,faults_under_load,redis_servers}.py)

# The load generator, against a server.
phase_bench() {
    run_pytest bench "$root/build/asan/minato" tests/bench
}

# Each conformance test is a line of the tally. Bytes come through the server also on S3: the program wants a header of
# ours on the last answer, which would be the store's.
phase_conformance() {
    local store code
    for store in "" s3; do
        code=0
        MINATO_TESTS_STORE=$store MINATO_BINARY=$root/build/asan/minato "$python" tests/conformance/oci.py "$results" \
            >"$results/conformance.oci$store.log" 2>&1 || code=$?
        [[ $code -eq 0 ]] || outcome conformance "oci$store" "$code"
        say "conformance ${store:-filesystem}: $(tail -n 2 "$results/conformance.oci$store.log" | tr '\n' ' ')"
    done
}

phase_clients() {
    run_pytest clients "$root/build/release/minato" tests/clients
    MINATO_TESTS_STORE=s3 MINATO_TESTS_REDIRECT=1 run_pytest clients-s3 "$root/build/release/minato" tests/clients
}

phase_crash() {
    run_pytest crash "$root/build/release/minato" tests/fault
}

# What bench/ says of itself; with --all phase_soak has it measure.
phase_bench() {
    run_pytest bench "$root/build/asan/minato" tests/bench
}

# The script as a user runs it, on the tree that is built already.
phase_quickstart() {
    run_pytest quickstart "$root/build/release/minato" tests/api/quickstart.py
}

# ---- the run ------------------------------------------------------------------------------------------------------------

rm -rf "$results"
mkdir -p "$results"
install_packages "${build_packages[@]}" "${cluster_packages[@]}" "${test_packages[@]}"
say "packages are there"

if wanted format; then
    phase_format
fi

# Architecture needs the release objects; a build that fails takes its own phases with it, not the others.
release_built=
asan_built=
tsan_built=
fuzz_built=
if wanted architecture || wanted clients || wanted crash || wanted quickstart || wanted soak || wanted s3 || wanted outages; then
    build release && release_built=yes || true
fi
if wanted unit || wanted api || wanted adoption || wanted conformance || wanted s3 || wanted outages || wanted bench; then
    build asan && asan_built=yes || true
elif wanted crash; then
    build asan durability_writer || true # what the replay of the driver's system calls traces
fi
if wanted bench; then
    build release micro || true # what callgrind counts
fi
if wanted tsan; then
    build tsan && tsan_built=yes || true
fi
if wanted fuzz || wanted tidy; then
    build fuzz && fuzz_built=yes || true
fi

if wanted conformance; then
    build_go conformance
fi
if [[ -n $all ]] && wanted clients; then
    build_go crane oras regctl helm cosign
fi

# Four lanes on two cores, as much of the third and nearly all of the fourth is waiting.
lane_one() {
    [[ -z $asan_built ]] || ! wanted unit || phase_unit
    [[ -z $asan_built ]] || ! wanted api || phase_api
    [[ -z $asan_built ]] || ! wanted adoption || phase_adoption
    [[ -z $asan_built ]] || ! wanted conformance || phase_conformance
}
lane_three() {
    [[ -z $asan_built ]] || ! wanted s3 || phase_s3
}
lane_four() {
    [[ -z $asan_built ]] || ! wanted bench || phase_bench
    [[ -z $asan_built ]] || ! wanted outages || phase_outages
}
lane_two() {
    [[ -z $release_built ]] || ! wanted architecture || phase_architecture
    ! wanted model || phase_model
    [[ -z $release_built ]] || ! wanted clients || phase_clients
    [[ -z $release_built ]] || ! wanted crash || phase_crash
    [[ -z $tsan_built ]] || ! wanted tsan || phase_tsan
    [[ -z $fuzz_built ]] || ! wanted fuzz || phase_fuzz
    [[ -z $release_built ]] || ! wanted quickstart || phase_quickstart
    [[ -z $fuzz_built || -z $all ]] || ! wanted tidy || phase_tidy
    [[ -z $release_built || -z $all ]] || ! wanted soak || phase_soak
}
set -m
lane_one </dev/null &
lanes+=($!)
lane_two </dev/null &
lanes+=($!)
lane_three </dev/null &
lanes+=($!)
lane_four </dev/null &
lanes+=($!)
set +m
wait "${lanes[@]}" || echo "fail lane" >>"$results/run.list"
lanes=()

say "all phases are through; logs are in build/test-results"
code=0
"$python" tests/support/tally.py "$results" || code=$?
exit "$code"
