"""Checks evidence for one event, written by `daybook prove`, with nothing of Daybook: python3 check_proof.py FILE VKEY"""

import base64
import hashlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def decode(text):
    return base64.b64decode(text, validate=True)


def check_note(note, vkey):
    """The three lines of the checkpoint, if the key signed them."""
    name, key_hash, key = vkey.split("+", 2)
    key = decode(key)
    assert key[0] == 1 and len(key) == 33, "not an Ed25519 key"
    key_id = sha256(name.encode(), b"\n", key)[:4]
    assert key_id.hex() == key_hash, "the key's hash is not its own"
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    for line in signatures.removesuffix("\n").split("\n"):
        dash, signer, signature = line.split(" ")
        signature = decode(signature)
        if dash == "\u2014" and signer == name and signature[:4] == key_id:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text.encode())
            break
    else:
        raise AssertionError("the key did not sign it")
    origin, size, root = text.split("\n")[:3]
    assert origin == name, "another log"
    return origin, int(size), decode(root)


def root_of(leaf, index, size, path):
    """The root that a leaf and its path lead to (RFC 9162, 2.1.3.2)."""
    assert index < size, "beyond the tree"
    at, last, node = index, size - 1, leaf
    for sibling in path:
        assert last > 0, "too many hashes"
        if at % 2 == 1 or at == last:
            node = sha256(b"\x01", sibling, node)
            while at % 2 == 0 and at != 0:
                at, last = at >> 1, last >> 1
        else:
            node = sha256(b"\x01", node, sibling)
        at, last = at >> 1, last >> 1
    assert last == 0, "too few hashes"
    return node


def main(path, vkey):
    with open(path, encoding="utf-8", newline="") as file:
        head, note = file.read().split("\n\n", 1)
    header, extra, index, *hashes = head.split("\n")
    assert header == "c2sp.org/tlog-proof@v1", "not a proof"
    record = decode(extra.removeprefix("extra "))
    index = int(index.removeprefix("index "))
    origin, size, root = check_note(note, vkey)
    found = root_of(sha256(b"\x00", record), index, size, [decode(line) for line in hashes])
    assert found == root, "the record is not in the log"
    # The record's second field is its sequence.
    sequence = int.from_bytes(record[1:9], "little")
    assert sequence == index + 1, "the record says that it is another"
    print(f"event {sequence} is in {origin} of {size} events")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (AssertionError, InvalidSignature, ValueError) as error:
        sys.exit(f"not proven: {error or type(error).__name__}")
