"""The explorer's server: who is answered, and what cannot stop it."""

import asyncio
import http.client
import json
import logging
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
from helpers import folders
from helpers.explorer import serving, sources

from tfp_vae.__main__ import main

pytest.importorskip("bokeh", reason="needs Bokeh, of the extra explore")
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from tfp_vae.explorer.collection import EncodedCollection


@pytest.fixture(scope="module")
def port(model, grey_images):
    with serving(model, EncodedCollection(model, sources(grey_images))) as port:
        yield port


def get(port, path="/", **headers):
    """The status and the text of an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path, headers={"Connection": "close", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()


def token(port):
    """Of a new session, as the page has it."""
    status, text = get(port)
    assert status == 200
    return re.search(rb'"token":"([^"]+)"', text)[1].decode()


async def connect(port, origin, session):
    request = HTTPRequest(f"ws://127.0.0.1:{port}/ws", headers={"Origin": origin})
    return await websocket_connect(request, subprotocols=["bokeh", session])


async def end(connection):
    """Closes a websocket, and waits until the server has too."""
    connection.close()
    while await connection.read_message() is not None:
        pass


def test_the_page_and_its_thumbnails_are_answered(port):
    status, text = get(port)
    assert status == 200 and b"explorer(view, message, upload)" in text
    assert get(port, "/thumbnails/3")[1].startswith(b"\x89PNG")
    assert get(port, "/thumbnails/130")[0] == get(port, "/thumbnails/x")[0] == 404
    assert get(port, Host=f"localhost:{port}")[0] == 200
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"}
    assert get(port, "/thumbnails/3", **own)[0] == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    assert get(port, **link)[0] == 200


def test_all_that_the_page_needs_is_on_this_server(port):
    text = get(port)[1].decode()
    assets = re.findall(r"""(?:src|href)=["']([^"']+)["']""", text)
    assert any("bokeh" in each for each in assets)
    for each in assets:
        assert each.startswith(("/static/", "data:"))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src 'self'" in policy and "http" not in policy


@pytest.mark.parametrize("path", ["/", "/thumbnails/3", "/autoload.js", "/static/js/bokeh.min.js"])
@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "evil.example:{port}"}, {"Origin": "http://evil.example"},
     {"Origin": "null"}, {"Host": "127.0.0.1:1"}, {"Origin": "https://127.0.0.1:{port}"},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
    ids=lambda headers: "-".join(*headers.items()),
)  # fmt: skip
def test_another_host_or_origin_is_refused(port, path, headers):
    assert get(port, path, **{k: v.format(port=port) for k, v in headers.items()})[0] == 403


def test_a_page_of_another_origin_cannot_open_the_websocket(port):
    session = token(port)

    async def opened(origin):
        await end(await connect(port, origin, session))

    asyncio.run(opened(f"http://127.0.0.1:{port}"))
    asyncio.run(opened(f"http://localhost:{port}"))
    for origin in ("http://evil.example", f"http://evil.example:{port}", "null"):
        with pytest.raises(HTTPClientError, match="403"):
            asyncio.run(opened(origin))


def messages(random):
    """What no page sends: noise, broken JSON, and well-formed messages that make no sense."""
    kinds = ["PATCH-DOC", "PULL-DOC-REQ", "PUSH-DOC", "EVENT", "NONSENSE", "OK", "ERROR"]
    contents = [
        "{}", "[]", "null", '{"events": 3}', '{"doc": {}}', '{"events": [{"kind": "X"}]}',
        '{"events": [{"kind": "ModelChanged", "model": {"id": "p1"}, "attr": "x", "new": 1}]}',
        '{"events": [{"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": 1}]}',
        "{" * 3000,
    ]  # fmt: skip
    for number in range(200):
        if number % 4 == 0:
            yield [random.bytes(random.integers(0, 300))]
        elif number % 4 == 1:
            yield [random.bytes(40).decode("latin-1")]
        else:
            header = {"msgid": str(number), "msgtype": str(random.choice(kinds))}
            yield [json.dumps(header), "{}", str(random.choice(contents))][: number % 4 + 1]


def test_two_hundred_malformed_messages_leave_a_page_working(port, caplog):
    session, origin = token(port), f"http://127.0.0.1:{port}"

    async def send():
        for fragments in messages(np.random.default_rng(0)):
            connection = await connect(port, origin, session)
            await connection.read_message()  # ACK
            for fragment in fragments:
                await connection.write_message(fragment, binary=isinstance(fragment, bytes))
            await end(connection)

    async def pull():
        connection = await connect(port, origin, session)
        for _ in range(3):  # ACK
            await connection.read_message()
        for fragment in ('{"msgid": "1", "msgtype": "PULL-DOC-REQ"}', "{}", "{}"):
            await connection.write_message(fragment)
        fragments = [await connection.read_message() for _ in range(3)]
        await end(connection)
        return fragments

    with caplog.at_level(logging.CRITICAL, "bokeh"), caplog.at_level(logging.CRITICAL, "tornado"):
        asyncio.run(send())
    header, _, content = asyncio.run(pull())
    assert json.loads(header)["msgtype"] == "PULL-DOC-REPLY"
    assert len(json.loads(content)["doc"]["roots"]) == 6
    assert get(port)[0] == 200


@pytest.fixture(scope="module")
def place(grey_images, tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    folders.make(place, grey_images)
    return place


def test_a_busy_port_is_one_line(place, capsys):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert main(["explore", str(place / "run"), "--port", str(port)]) == 2
    assert capsys.readouterr() == ("", f"--port {port}: busy: expected a free port\n")


def test_bad_images_are_one_line(place, capsys):
    assert main(["explore", str(place / "run"), str(place / "none"), "--port", "0"]) == 2
    assert "none: no such file or folder" in capsys.readouterr().err
    assert main(["explore", str(place / "none"), "--port", "0"]) == 2
    assert "none: no such folder" in capsys.readouterr().err


def test_without_bokeh_a_line_says_what_to_install(place, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["explore", str(place / "run")]) == 1
    assert capsys.readouterr().err == 'explore needs Bokeh: pip install "tfp-vae[explore]"\n'


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_ends_it_in_one_line(number, place, clean_environment):
    argv = [sys.executable, "-m", "tfp_vae", "explore", "run", "--port", "0"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, cwd=place, env=clean_environment, **streams) as process:
        try:
            lines = [process.stdout.readline(), process.stdout.readline()]
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", lines[1])[1])
            assert lines[0].startswith("no map, samples only") and get(port)[0] == 200
            process.send_signal(number)
            assert process.communicate(timeout=60) == ("", "stopped\n")
        finally:
            process.kill()  # otherwise a test that fails would wait for it
    assert process.returncode == 128 + number
