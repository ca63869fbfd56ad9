"""SIGTERM under load: whatever was taken is answered, whatever was answered is there, and nothing hangs."""

import threading
import time

import httpx

from countermark_broker.config import load_settings
from countermark_broker.parts import build_parts
from countermark_protocol.boxes import Box
from support.broker_fixtures import keyring
from support.broker_process import BrokerProcess
from support.database import sql
from support.world import KAMPALA, NAIROBI

WRITERS = 6


def test_what_was_accepted_in_flight_is_answered(world, process_home):
    process = BrokerProcess(world, process_home).wait_until_listening()
    stop, lock = threading.Event(), threading.Lock()
    accepted, refused, cut = [], [], []

    def write():
        client = process.client()
        try:
            while not stop.is_set():
                message = world.message(NAIROBI, [KAMPALA])
                try:
                    answer = client.post_message(message)
                except httpx.ConnectError:
                    # Nobody listens any more: nothing was taken.
                    return
                except httpx.TransportError as error:
                    with lock:
                        cut.append((message.payload_hash, error))
                    return
                with lock:
                    (accepted if answer.status_code == 201 else refused).append(
                        (message.payload_hash, answer)
                    )
        finally:
            client.close()

    waiting = []

    def listen():
        client = process.client()
        client.refresh()
        try:
            waiting.append(client.box(KAMPALA, Box.URGENT, wait=60))
        finally:
            client.close()

    listener = threading.Thread(target=listen)
    writers = [threading.Thread(target=write) for _ in range(WRITERS)]
    for thread in (listener, *writers):
        thread.start()
    while len(accepted) < 20:
        time.sleep(0.01)
    assert process.stop() == 0
    stop.set()
    for thread in (listener, *writers):
        thread.join(60)
        assert not thread.is_alive()

    # The long-poll was ended, and with a signed answer.
    assert len(waiting) == 1
    assert waiting[0].account is not None
    # A connection may be closed between two requests; a request that became an entry was always answered.
    logged = {bytes(row[0]) for row in sql(process_home, "SELECT payload_hash FROM entries WHERE kind = 9")}
    assert {payload for payload, _ in accepted} == logged
    assert not {payload for payload, _ in cut} & logged
    for payload, answer in refused:
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "stopping"
        assert payload not in logged
    # Everything committed is published: the next start has nothing to repair.
    node = build_parts(load_settings(process_home, {}), keyring(world)).node
    stored = node.store.load()
    assert [(stored.size,)] == sql(process_home, "SELECT size FROM head")
    node.verifier.close()
    again = BrokerProcess(world, process_home).wait_until_listening()
    client = again.client()
    assert client.http.get("/v1/ready").status_code == 200
    client.close()
    assert again.stop() == 0
