"""A mail server on loopback that keeps what it is given; RFC 5321, as much of it as smtplib speaks.

Replies can be scripted by the verb: `replies["RCPT"] = "550 5.1.1 no such user"`.
"""

from __future__ import annotations

import socketserver
import threading
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self, cast

GOOD = {"EHLO": "250 loopback", "MAIL": "250 OK", "RCPT": "250 OK", "QUIT": "221 Bye", "RSET": "250 OK"}


@dataclass
class Mail:
    sender: str
    recipients: list[str]
    message: EmailMessage


@dataclass
class Envelope:
    sender: str = ""
    recipients: list[str] = field(default_factory=list)


class Conversation(socketserver.StreamRequestHandler):
    timeout = 10
    server_of_mails: MailServer

    def handle(self) -> None:
        envelope = Envelope()
        self.say("220 loopback ESMTP")
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            verb = line[:4].upper()
            if verb == "DATA":
                self.say("354 Go on")
                self.say(self.server_of_mails.take(envelope, self.read_data()))
                continue
            reply = self.server_of_mails.replies.get(verb) or GOOD.get(verb, "502 Not spoken here")
            if reply.startswith("2"):
                note(envelope, verb, line)
            self.say(reply)
            if verb == "QUIT":
                return

    def read_data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def say(self, reply: str) -> None:
        self.wfile.write(f"{reply}\r\n".encode())


class MailServer:
    """`mails`: what was taken, in its order."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.replies: dict[str, str] = {}
        outer = self

        class Handler(Conversation):
            server_of_mails = outer

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def take(self, envelope: Envelope, data: bytes) -> str:
        reply = self.replies.get("DATA", "250 Taken")
        if reply.startswith("2"):
            message = cast("EmailMessage", message_from_bytes(data, policy=policy.default))
            self.mails.append(Mail(envelope.sender, list(envelope.recipients), message))
        return reply

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def note(envelope: Envelope, verb: str, line: str) -> None:
    address = line.partition("<")[2].partition(">")[0]
    if verb == "MAIL":
        envelope.sender, envelope.recipients = address, []
    elif verb == "RCPT":
        envelope.recipients.append(address)
