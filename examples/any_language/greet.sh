#!/bin/sh
# Without a run there is no file, and the line goes nowhere.
point() { echo "$1" >>"${TOOL_TELEMETRY_POINTS:-/dev/null}"; }
span() {
    name=$1
    shift
    if [ -n "${TOOL_TELEMETRY_POINTS-}" ]; then tool-telemetry span "$name" -- "$@"; else "$@"; fi
}

point greet.language=shell
case ${1-} in
hello) span resolve echo "Hello from the shell" ;;
*) exit 2 ;;
esac
