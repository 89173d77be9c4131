"""Runs a user's own agent inside the sandbox: standard library only, mounted as a file.

``python FILE MODULE:FUNCTION`` and ``http PORT PATH SECONDS WORD…``; the prompt is what is read.
The answer is what is printed; what the agent itself prints goes to the error stream.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request


def _python(file: str, name: str, prompt: str) -> str:
    module, _, function = name.partition(":")
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"expected a Python file, found {file}")
    sys.path.insert(0, os.path.dirname(file))
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    spec.loader.exec_module(loaded)
    called = getattr(loaded, function, None)
    if not callable(called):
        raise SystemExit(f"expected a function {function} in {module}, found none")
    answer = called(prompt)
    if not isinstance(answer, str):
        raise SystemExit(f"expected {name} to return text, found {type(answer).__name__}")
    return answer


def _http(port: int, path: str, seconds: float, words: list[str], prompt: str) -> str:
    server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True)
    # The proxy leads out of the sandbox; the server is inside.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps({"prompt": prompt}).encode(),
        {"Content-Type": "application/json"},
    )
    end = time.monotonic() + seconds
    try:
        while True:
            if server.poll() is not None:
                raise SystemExit(f"the server ended with {server.returncode} before it answered")
            try:
                with opener.open(request) as response:
                    said = json.loads(response.read())
                break
            except urllib.error.HTTPError as error:
                raise SystemExit(f"the server answered {error.code}, expected 200") from None
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError):
                    raise SystemExit(f"the server broke off: {error.reason}") from None
                if time.monotonic() > end:
                    raise SystemExit(
                        f"the server did not listen on port {port} within {seconds:g} seconds"
                    ) from None
                time.sleep(0.05)
            except ValueError:
                raise SystemExit('expected {"text": …} from the server, found no JSON') from None
    finally:
        with contextlib.suppress(OSError):
            os.killpg(server.pid, signal.SIGTERM)
    if not isinstance(said, dict) or not isinstance(said.get("text"), str):
        raise SystemExit('expected {"text": …} from the server, found something else')
    return str(said["text"])


def main(words: list[str]) -> None:
    """Run what the words say, and print its answer."""
    prompt = sys.stdin.read()
    with contextlib.redirect_stdout(sys.stderr):
        if words[0] == "python":
            answer = _python(words[1], words[2], prompt)
        else:
            answer = _http(int(words[1]), words[2], float(words[3]), words[4:], prompt)
    sys.stdout.write(answer + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
