#!/usr/bin/env bash
# Prices with curl: prints name, id and data of each event, and comes back from a cut, a restart or a limit.
id='' wait=3
while :; do
    name=message data=''
    while IFS= read -r line; do
        case $line in
        'event: '*) name=${line#*: } ;;
        'data: '*) data=${line#*: } ;;
        'id: '*) id=${line#*: } ;;
        'retry: '*) ms=${line#*: } && printf -v wait '%d.%03d' $((ms / 1000)) $((ms % 1000)) ;;
        '') printf '%s\t%s\t%s\n' "$name" "$id" "$data" && name=message data='' ;;
        esac
        # -N: at once; --retry: waits out 429 and 503 as Retry-After says; --speed-*: gives up on a line that is dead.
    done < <(curl -sSfN --retry 9 --speed-limit 1 --speed-time 45 ${id:+-H "Last-Event-ID: $id"} "$1")
    wait $! || [[ $? != 22 ]] || exit 22 # refused for good: 400, 401, 403, 404
    sleep "$wait"
done
