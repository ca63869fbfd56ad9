"""No exception of httpx leaves a client: each becomes a TransportError."""

import inspect

import httpx
import pytest

from countermark_client import AsyncClient, Client, Settings, testing
from countermark_client._http import MAX_ANSWER_BYTES, Gatherer, mapped_errors
from countermark_protocol.errors import TransportError

_ONCE = Settings(attempts=1)


def _exceptions():
    found = {
        member
        for _, member in inspect.getmembers(httpx)
        if inspect.isclass(member) and issubclass(member, Exception) and not issubclass(member, Warning)
    }
    assert httpx.ConnectTimeout in found
    return sorted(found, key=lambda e: e.__name__)


def _make(kind):
    if issubclass(kind, httpx.HTTPStatusError):
        request = httpx.Request("GET", "https://broker.test/")
        return kind("text", request=request, response=httpx.Response(500, request=request))
    if issubclass(kind, httpx.StreamError) and kind is not httpx.StreamError:
        return kind()
    return kind("secret-looking text")


@pytest.mark.parametrize("kind", _exceptions(), ids=lambda k: k.__name__)
def test_every_exception_of_httpx_is_mapped(kind):
    with pytest.raises(TransportError) as caught, mapped_errors():
        raise _make(kind)
    assert "secret-looking" not in str(caught.value)
    assert caught.value.code in {"timeout", "bad_request", "broker_unreachable"}


class _Failing(httpx.BaseTransport, httpx.AsyncBaseTransport):
    def __init__(self, kind):
        self.kind = kind
        self.calls = 0

    def handle_request(self, request):
        self.calls += 1
        raise _make(self.kind)

    async def handle_async_request(self, request):
        self.calls += 1
        raise _make(self.kind)


_TRANSPORT = [k for k in _exceptions() if issubclass(k, httpx.TransportError)]


@pytest.mark.parametrize("kind", _TRANSPORT, ids=lambda k: k.__name__)
def test_a_failing_transport_is_a_transport_error(kind):
    world = testing.world("ke.police.nairobi")
    transport = _Failing(kind)
    with (
        Client(world.profile("ke.police.nairobi"), transport=transport, settings=_ONCE) as client,
        pytest.raises(TransportError),
    ):
        client.sync()
    assert transport.calls == 1


async def test_a_failing_transport_is_a_transport_error_async():
    world = testing.world("ke.police.nairobi")
    profile = world.profile("ke.police.nairobi")
    async with AsyncClient(profile, transport=_Failing(httpx.ReadError), settings=_ONCE) as client:
        with pytest.raises(TransportError):
            await client.sync()


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (500, b"<html>", "unusable_answer"),
        (302, b"", "unusable_answer"),
        (404, b'{"status":403,"code":"x","detail":"y"}', "unusable_answer"),
        (503, b'{"status":503,"code":"overloaded","detail":"later"}', "broker_unavailable"),
        (500, b'{"status":500,"code":"internal","detail":"defect"}', "broker_unavailable"),
    ],
)
def test_an_answer_that_is_none_is_a_transport_error(status, body, code):
    world = testing.world("ke.police.nairobi")
    world.broker.intercept = lambda _request, _answer: (status, {}, body)
    client = world.client("ke.police.nairobi", settings=_ONCE)
    with pytest.raises(TransportError) as caught:
        client.sync()
    assert caught.value.code == code


def test_an_endless_answer_is_cut_off():
    gatherer = Gatherer()
    gatherer.add(bytes(MAX_ANSWER_BYTES))
    with pytest.raises(TransportError):
        gatherer.add(b"x")


def test_retry_after_is_obeyed_and_bounded():
    world = testing.world("ke.police.nairobi")
    waits = []
    answers = iter(["7", "999999", "soon", "1"])

    def overloaded(_request, _answer):
        return 429, {"retry-after": next(answers)}, b'{"status":429,"code":"slow","detail":"slow down"}'

    world.broker.intercept = overloaded
    client = Client(
        world.profile("ke.police.nairobi"),
        transport=world.transport,
        clock=world.clock,
        sleep=waits.append,
        settings=Settings(attempts=4, backoff_seconds=0.5),
    )
    with pytest.raises(TransportError):
        client.sync()
    assert waits[0] == 7.0
    assert waits[1] <= 120.0
    assert 2.0 <= waits[2] <= 3.0
