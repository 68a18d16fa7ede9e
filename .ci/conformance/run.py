"""Holds the service to its OpenAPI document, and the document to what is made of it.

usage: run.py lint|service|clients BINARY TARGET

lint     the committed document is sound by every rule of redocly's strictest set
service  schemathesis, every check, against a service over the made-up firm, with the token of each role
clients  a Python and a TypeScript client are generated, type-checked, and spend a day at the firm

TARGET is the directory that tools, clients and ledgers go to. DAYBOOK_FUZZ_EXAMPLES (3) is how many cases
schemathesis draws for each operation beside those it derives from the document: more of them is a longer search.
DAYBOOK_FUZZ_ROLES names the roles to try, where all of them are too many.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DOCUMENT = ROOT / "openapi.json"
ROLES = ["administrator", "advisor", "client", "auditor", "service", "display"]


def say(text):
    print(f"conformance: {text}", flush=True)


def run(*command, cwd=ROOT, environment=None, timeout=900):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(os.environ, **(environment or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    if done.returncode:
        print(done.stdout)
        raise SystemExit(f"conformance: {pathlib.Path(str(command[0])).name} {command[1]} ended with {done.returncode}")
    return done.stdout


class Tools:
    """The pinned tools, installed below the target directory once."""

    def __init__(self, target):
        self.directory = target / "conformance"
        self.directory.mkdir(parents=True, exist_ok=True)

    def fresh(self, name, source):
        """Whether what was installed is what the lock says; noted when it has been."""
        mark = self.directory / f"{name}.installed"
        return mark, mark.exists() and mark.read_text() == source.read_text()

    def python(self, program):
        venv = self.directory / "venv"
        mark, installed = self.fresh("venv", HERE / "requirements.txt")
        if not installed:
            say("installing the Python tools")
            run(sys.executable, "-m", "venv", "--clear", venv)
            run(venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt")
            shutil.copy(HERE / "requirements.txt", mark)
        return venv / "bin" / program

    def node(self, program):
        mark, installed = self.fresh("node", HERE / "package-lock.json")
        if not installed:
            if not shutil.which("npm"):
                raise SystemExit("conformance: npm is needed: install nodejs and npm")
            say("installing the Node tools")
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, self.directory)
            run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=self.directory)
            shutil.copy(HERE / "package-lock.json", mark)
        return self.directory / "node_modules/.bin" / program


class Firm:
    """A service over the made-up firm in a directory of its own, and a token for each role."""

    def __init__(self, binary, directory):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self.log = directory / "log"
        self.process = subprocess.Popen(
            [str(binary), "serve", "--demo", "--data", str(directory / "data"), "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env=dict(os.environ, DAYBOOK_SEGMENT_BYTES=str(1 << 22)),
        )
        self.token = self.process.stdout.readline().strip()
        deadline = time.monotonic() + 60
        while not (found := re.search(r"listens on (http://\S+)", self.log.read_text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"conformance: the service did not start: {self.log.read_text()}")
            time.sleep(0.05)
        self.url = found[1]

    def send(self, method, path, data, media="application/json", token=None):
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": media}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def call(self, method, path, body=None, token=None):
        return self.send(method, path, None if body is None else json.dumps(body).encode(), token=token)

    def upload(self, path, texts, file):
        parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}' for name, text in texts.items()]
        parts.append(f'Content-Disposition: form-data; name="file"; filename="rows.csv"\r\n\r\n{file}')
        body = "".join(f"--part\r\n{part}\r\n" for part in parts) + "--part--\r\n"
        return self.send("POST", path, body.encode(), "multipart/form-data; boundary=part")

    def events(self, kind):
        """The events of a type, from the log."""
        after, found = 1, []
        while True:
            page = self.call("GET", f"/v1/events?limit=1000&from={after}")["items"]
            if not page:
                return found
            found += [event for event in page if event["type"] == kind]
            after = page[-1]["sequence"] + 1

    def token_of(self, role):
        portfolios = [item["id"] for item in self.call("GET", "/v1/portfolios?limit=1000")["items"]]
        body = {"role": role}
        if role == "advisor":
            body["subject"] = self.events("AdvisorRegistered")[0]["stream"].removeprefix("advisor-")
        elif role == "client":
            body["subject"] = self.events("PartyOnboarded")[0]["stream"].removeprefix("party-")
        elif role in ("service", "display"):
            body["portfolios"] = portfolios[:3]
        return self.call("POST", "/v1/tokens", body)["token"]

    def spare_tokens(self):
        return [self.call("POST", "/v1/tokens", {"role": "auditor"})["id"] for _ in range(3)]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        log = self.log.read_text()
        if code or "panicked" in log:
            raise SystemExit(f"conformance: the service ended with {code}: {log[-4000:]}")


def lint(binary, tools):
    served = run(binary, "openapi")
    if served != DOCUMENT.read_text():
        raise SystemExit("conformance: openapi.json is not what the binary serves: `daybook openapi > openapi.json`")
    told = run(tools.node("redocly"), "lint", "--config", HERE / "redocly.yaml", "--format", "stylish", DOCUMENT,
               environment={"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"})
    if "is valid" not in told or "warning" in told.lower().replace("deprecation warning", ""):
        raise SystemExit(f"conformance: the document is not clean:\n{told}")
    say("redocly has nothing to say against the document")
    bare = without_examples(json.loads(served))
    if bare:
        raise SystemExit(f"conformance: give these an example (examples.py): {', '.join(bare)}")
    say("every operation has examples, and each is what its schema says")


# What the made-up firm cannot do: it is linked to no broker, and no webhook is configured.
UNSHOWN = {
    "placeOrder", "readSource", "synchroniseNow", "refreshInstruments",
    "readWebhook", "retryWebhook", "receiveDelivery", "receiveAlert",
}


def without_examples(document):
    """The operations that lack an example of a JSON body or answer."""
    bare = []
    for methods in document["paths"].values():
        for operation in methods.values():
            if operation["operationId"] in UNSHOWN:
                continue
            contents = list(operation.get("requestBody", {}).get("content", {}).values())
            for status in ("200", "201"):
                content = operation["responses"].get(status, {}).get("content", {})
                contents += [content[media] for media in content if media == "application/json"]
            if any("example" not in content for content in contents):
                bare.append(operation["operationId"])
    return bare


def service(binary, tools):
    roles = os.environ.get("DAYBOOK_FUZZ_ROLES", " ".join(ROLES)).split()
    examples = os.environ.get("DAYBOOK_FUZZ_EXAMPLES", "3")
    failed = []
    for role in roles:
        began = time.monotonic()
        firm = Firm(binary, tools.directory / f"firm-{role}")
        # Every role meets every operation; the administrator, to whom nothing is closed, the whole search.
        phases = "examples,coverage,fuzzing,stateful" if role == "administrator" else "examples,fuzzing"
        done = subprocess.run(
            [
                str(tools.python("schemathesis")), "--config-file", str(HERE / "schemathesis.toml"), "run",
                f"{firm.url}/openapi.json", "--checks", "all", "--phases", phases, "--max-examples", examples,
                "--header", f"Authorization: Bearer {firm.token_of(role)}", "--no-color",
            ],
            cwd=HERE,
            env=dict(
                os.environ,
                DAYBOOK_URL=firm.url,
                DAYBOOK_TOKEN=firm.token,
                DAYBOOK_SPARE_TOKENS=" ".join(firm.spare_tokens()),
                PYTHONDONTWRITEBYTECODE="1",
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        report = tools.directory / f"schemathesis-{role}.txt"
        report.write_text(done.stdout)
        firm.stop()
        counted = re.search(r"(\d+) generated", done.stdout)
        if done.returncode or not counted:
            failed.append(role)
            print(done.stdout)
        say(f"{role}: {counted[1] if counted else 'no'} requests in {time.monotonic() - began:.0f} s, "
            f"{'see above' if role in failed else 'each answered as the document says'}")
    if failed:
        raise SystemExit(f"conformance: the service does not keep to its document for {', '.join(failed)}")


def clients(binary, tools):
    python_client(binary, tools)
    typescript_client(binary, tools)


def python_client(binary, tools):
    made = tools.directory / "python"
    shutil.rmtree(made, ignore_errors=True)
    told = run(tools.python("openapi-python-client"), "generate", "--path", DOCUMENT, "--output-path", made,
               "--config", HERE / "python.yaml", "--overwrite",
               environment={"PATH": f"{tools.python('ruff').parent}:{os.environ['PATH']}"})
    # The generator knows no plain text, which only alert services send.
    warnings = [line for line in told.splitlines() if "WARNING" in line and "/webhooks/{source}/{secret}" not in line]
    if warnings or "Unable to" in told:
        raise SystemExit(f"conformance: the Python client lacks something: {told}")
    shutil.copy(HERE / "day.py", made / "day.py")
    run(tools.python("mypy"), "--strict", "--no-error-summary", "day.py", cwd=made)
    run(tools.python("mypy"), "--no-error-summary", "daybook_client", cwd=made)
    firm = Firm(binary, tools.directory / "firm-python")
    told = run(tools.python("python"), "day.py", firm.url, firm.token, cwd=made)
    firm.stop()
    print(told, end="")
    say("a day at the firm, in Python")


def typescript_client(binary, tools):
    made = tools.directory
    run(tools.node("openapi-typescript"), DOCUMENT, "-o", made / "daybook.d.ts")
    for name in ("day.mts", "tsconfig.json"):
        shutil.copy(HERE / name, made)
    run(tools.node("tsc"), "--project", "tsconfig.json", cwd=made)
    firm = Firm(binary, tools.directory / "firm-typescript")
    told = run("node", "out/day.mjs", firm.url, firm.token, cwd=made)
    firm.stop()
    print(told, end="")
    say("a day at the firm, in TypeScript")


if __name__ == "__main__":
    what, binary, target = sys.argv[1:]
    {"lint": lint, "service": service, "clients": clients}[what](
        pathlib.Path(binary).resolve(), Tools(pathlib.Path(target).resolve())
    )
