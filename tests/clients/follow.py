# Prices with Python's httpx and httpx-sse, which leaves coming back to its user.
import time

import httpx
from httpx_sse import connect_sse


def follow_prices(url):
    """Yields the events of a stream, for ever: comes back from a cut, a restart or a limit with the last id."""
    last_id, wait = "", 3.0
    # httpx gives up after 5 s without a byte; the service is silent for 15 s at most.
    with httpx.Client(timeout=httpx.Timeout(10, read=45)) as client:
        while True:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            try:
                with connect_sse(client, "GET", url + "&errors=status", headers=headers) as stream:
                    stream.response.raise_for_status()
                    for event in stream.iter_sse():
                        last_id, wait = event.id, event.retry / 1000 if event.retry else wait
                        yield event
            except httpx.HTTPStatusError as refused:
                if refused.response.status_code not in (429, 503):
                    raise
                time.sleep(float(refused.response.headers["Retry-After"]))
                continue
            except httpx.TransportError:
                pass
            time.sleep(wait)


if __name__ == "__main__":
    import sys

    for event in follow_prices(sys.argv[1]):
        print(event.event, event.id, event.data, sep="\t", flush=True)
