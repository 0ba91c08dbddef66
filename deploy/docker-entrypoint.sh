#!/bin/sh
# Entry point of the image. A first argument that begins with a dash is one for the server, as in the NATS image.
set -eu

case "${1:-}" in
    -*) set -- nats-server "$@" ;;
esac

# Root is only needed to take over a volume that belongs to root, as most volumes do at first.
if [ "$(id -u)" = 0 ] && { [ "${1:-}" = nats-server ] || [ "${1:-}" = ternmq-server ]; }; then
    for folder in /data /var/run/nats; do
        [ ! -d "$folder" ] || find "$folder" -xdev ! -user 1000 -exec chown -h 1000:1000 {} +
    done
    exec setpriv --reuid 1000 --regid 1000 --clear-groups -- "$@"
fi

exec "$@"
