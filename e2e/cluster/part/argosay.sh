#!/bin/sh
# A stand-in for the image argosay of Argo's tests: says, shows, waits, fails.
set -eu

case "${1:-}" in
  '')    echo "hello argo" ;;
  echo)
    if [ $# -lt 3 ]; then
      echo "${2:-hello argo}"
    else
      mkdir -p "$(dirname "$3")"
      echo "$2" >"$3"
    fi
    ;;
  cat)   shift; cat "$@" ;;
  sleep) sleep "$2" ;;
  exit)  exit "${2:-0}" ;;
  assert_contains) grep -F "$3" "$2" ;;
  sh)    shift; sh "$@" ;;
  *)     echo "argosay: what is '$1'?" >&2; exit 1 ;;
esac
