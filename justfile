# Everyday work on Starwake. `uv run just` lists what there is; each recipe installs what it needs by itself.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

# What is needed beyond running: the groups of pyproject.toml are added, nothing is taken away.
uv-program := quote(env("UV", "uv")) # where uv itself says it is, should it not be on the PATH
uv := uv-program + " run --quiet --all-groups"
pytest := uv + " pytest"
just := quote(just_executable()) + " --justfile " + quote(justfile())

# List the recipes
[private]
default:
    @just --list --unsorted

# Start the whole stack (options are passed on: `just up --time-scale 60`)
[group('run')]
up *options:
    {{ uv-program }} run starwake up "$@"

# Play in the terminal
[group('run')]
play *options:
    {{ uv-program }} run starwake play "$@"

# Everything: checks, then all tests, with some minutes of chaos
[group('test')]
test: check _needs
    {{ pytest }} tests --ignore=tests/bench --numprocesses "${STARWAKE_TEST_WORKERS:-3}" --dist loadfile --no-loadscope-reorder

# What is pure, in seconds
[group('test')]
test-unit *options:
    @{{ just }} _pytest tests/unit "$@"

# Each service, the bus and the store alone, against a NATS container where an engine is there
[group('test')]
test-contract *options:
    @{{ just }} _pytest tests/contract "$@"

# Across all services, through a real socket
[group('test')]
test-journey *options:
    @{{ just }} _pytest tests/journey "$@"

# The page in headless Chromium
[group('test')]
test-browser *options: _needs
    @{{ just }} _pytest tests/browser "$@"

# The page's modules under node
[group('test')]
test-web *options:
    @{{ just }} _pytest tests/web "$@"

# What the README prints and examples/ holds, run as a reader would
[group('test')]
test-examples *options:
    @{{ just }} _pytest tests/examples "$@"

# What deploy/ holds
[group('test')]
test-deploy *options:
    @{{ just }} _pytest tests/deploy "$@"

# Kill everything at random for so long (`just chaos 30m`); STARWAKE_TEST_CHAOS_SEED plays a round again
[group('test')]
chaos time="3m" *options:
    STARWAKE_TEST_CHAOS_FOR="$1" {{ pytest }} tests/chaos/test_chaos.py "${@:2}"

# How fast it is, side by side with others: about 20 minutes, or `just bench NAME ...` (`million` only so)
[group('test')]
bench *options:
    {{ uv }} python -m tests.bench "$@"

# What must not grow: counted figures against the recorded ones (`--record` takes new ones)
[group('test')]
bench-check *options:
    {{ uv }} python -m tests.bench.guard "$@"

# Where a service's time goes under load: `just profile command`, `just profile web`
[group('test')]
profile *options:
    {{ uv }} python -m tests.bench.profile "$@"

# Style, types, import arrows, the schema's history, generated documents, the page's types
[group('check')]
check: check-python check-schema check-protocol check-settings check-web

# ruff, types, import arrows
[group('check')]
check-python:
    {{ uv }} ruff check .
    {{ uv }} ruff format --check .
    {{ uv }} basedpyright
    {{ uv }} lint-imports

# The tables in code and the migrations say the same
[group('check')]
check-schema:
    {{ uv }} python -m tests.support.check_schema

# The AsyncAPI document says what the contracts say (without `--check`: write it anew)
[group('check')]
check-protocol:
    {{ uv }} python -m starwake.gateway.protocol_document --check

# The reference of all settings says what the settings classes say (without `--check`: write it anew)
[group('check')]
check-settings:
    {{ uv }} python -m tests.support.check_settings --check

# The page's modules: types (TypeScript reads their comments)
[group('check')]
check-web:
    {{ uv }} python -m tests.support.check_web

# Write code the way `check` wants it
[group('check')]
fmt:
    {{ uv }} ruff check --fix-only .
    {{ uv }} ruff format .

# Write a new migration from the difference between the tables in code and the last one
[group('check')]
migration message:
    {{ uv }} python -m tests.support.check_schema --revision "$1"

# What the image is made of: a CycloneDX bill of materials
[group('supply chain')]
sbom:
    {{ uv }} python -m deploy.supply_chain sbom

# Every package's licence; fails on one that nobody has looked at
[group('supply chain')]
licences:
    {{ uv }} python -m deploy.supply_chain licences

# Known vulnerabilities (says so where it is offline), and dependencies without a use
[group('supply chain')]
audit:
    {{ uv }} python -m deploy.supply_chain audit
    {{ uv }} python -m deploy.supply_chain unused

# A folder's tests, or what of them the options name
[private]
_pytest folder *options:
    #!/usr/bin/env bash
    set -euo pipefail
    folder=$1
    shift
    for option in "$@"; do
      if [ -e "${option%%::*}" ]; then folder=; fi
    done
    {{ pytest }} ${folder:+"$folder"} "$@"

# Get what some tests need of the machine, where one may, and say what is missing, before anything else takes minutes
[private]
_needs:
    {{ uv }} python -m tests.support.needs
