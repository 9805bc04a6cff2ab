"""The one thread of a process that talks to receivers: a libcurl multi handle, fed by an inbox.

Only this thread touches libcurl. It drives all transfers with one call a round (`perform`) because each call, and each
callback out of libcurl, gives up and takes back the interpreter lock: driving socket by socket was measured ten times
slower beside a busy thread.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import pycurl  # noqa: TID251 - this is the transport

from delivery.outcome import ErrorKind, Outcome, OutcomeKind, deferred
from delivery.transports.base import Gate, Message, Record, ids_of
from delivery.transports.lanes import MIN_HOLD_S, Lane, Lanes, Limits, Parcel
from delivery.transports.webhook.guards import HeaderGuard, UrlGuard
from delivery.transports.webhook.handle import CurlOptions, Handle, unsent

logger = logging.getLogger(__name__)

# How often queues are looked at for what should not wait here.
SHED_EVERY_S = 0.1
LONGEST_WAIT_S = 1.0
# A fault that stays must not become a busy loop.
FAULT_PAUSE_S = 0.2
# Connections in use and kept, for each request that may be in flight; see MAX_IN_FLIGHT in lanes.py.
CONNECTIONS_PER_IN_FLIGHT = 2
# A name being resolved has no descriptor, nor does libcurl tell those above 1023: look again this soon.
UNSEEN_WAIT_S = 0.01
# While the gate is shut: how soon to try it again. A slot that falls due is not waited for more finely than this either.
GATE_WAIT_S = 0.001


class Engine:
    """`run` is the thread; `hand_over`, `stop` and `room_wanted` are for the others.

    After a round that found `room_wanted` set, it is cleared and `tell_room` called. What `gate` says holds for what is not
    started yet; what is in flight goes on.
    """

    def __init__(
        self,
        options: CurlOptions,
        limits: Limits,
        tell_room: Callable[[], None],
        gate: Gate,
    ) -> None:
        self._options = options
        self._limits = limits
        self._tell_room = tell_room
        self._may_start = gate.may_start
        self.room_wanted = False
        self._inbox: deque[tuple[Sequence[Message], Record, float]] = deque()
        self._asleep = False
        self._stop_at: float | None = None
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_fd = self._wake_reader.fileno()
        self._lanes = Lanes(limits, gate)
        self._shed_at = 0.0
        self._headers = HeaderGuard()
        self._urls = UrlGuard()
        self._busy: dict[pycurl.Curl, Handle] = {}
        self._idle = [Handle(options)]  # the first one here, so that settings libcurl refuses fail in the open
        self._multi = self._new_multi()
        self.settled = 0  # messages that no longer wait, ever; written by the engine's thread only

    def _new_multi(self) -> pycurl.CurlMulti:
        multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_NOTHING)
        multi.setopt(pycurl.M_MAXCONNECTS, self._limits.in_flight)
        multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, self._limits.in_flight * CONNECTIONS_PER_IN_FLIGHT)
        return multi

    # For other threads.

    @property
    def timed(self) -> int:
        """How many only wait for their slot within a rate limit."""
        return self._lanes.timed

    @property
    def in_flight(self) -> int:
        """How many wait for their outcome."""
        return self._lanes.in_flight

    def hand_over(self, messages: Sequence[Message], record: Record, handed_at: float) -> None:
        self._inbox.append((messages, record, handed_at))
        self._wake()

    def stop(self, stop_at: float) -> None:
        """Start nothing more; give up what is still in flight at `stop_at` (monotonic)."""
        self._stop_at = stop_at
        self._wake()

    def _wake(self) -> None:
        # The engine says it sleeps before its last look into the inbox, so a hand-over is seen or wakes it.
        if self._asleep:
            self._asleep = False
            with suppress(OSError):  # it woke by itself, found that it shall stop and is gone
                self._wake_writer.send(b"w")

    # The engine's thread.

    def run(self) -> None:
        """Until stopped and nothing is left to report."""
        while not self._is_over():
            try:
                self._round()
            except Exception:  # the loop's top: a fault here must cost what is in flight, not the process' sending
                logger.exception("webhook.engine_fault")
                self._start_afresh()
        self._end()

    def _is_over(self) -> bool:
        if self._stop_at is None or self._inbox or self._lanes.waiting:
            return False
        return not self._busy or time.monotonic() >= self._stop_at

    def _round(self) -> None:
        now = time.monotonic()
        if self._inbox:
            self._empty_inbox(now)
        if self._stop_at is not None:
            self._defer_all()
        elif self._lanes.waiting and self._may_start():
            self._start_ready(now)
        if self._busy:
            self._multi.perform()
        found = bool(self._busy) and self._reap()
        if self._lanes.waiting:
            self._shed(now)
        if self.room_wanted:
            self.room_wanted = False
            self._tell_room()
        if not found:
            self._sleep()

    def _empty_inbox(self, now: float) -> None:
        while self._inbox:
            messages, record, handed_at = self._inbox.popleft()
            for message in messages:
                self._lanes.add(Parcel(message, record, handed_at), now)

    def _shed(self, now: float) -> None:
        if now < self._shed_at:
            return
        self._shed_at = now + SHED_EVERY_S
        for refused in self._lanes.shed(now):
            self._settle(refused.parcel, refused.outcome(time.time()))

    def _defer_all(self) -> None:
        for parcel in self._lanes.drain():
            self._settle(parcel, deferred(ErrorKind.SHUTDOWN, "the sender is stopping", MIN_HOLD_S))

    def _start_ready(self, now: float) -> None:
        while self._may_start():
            if not self._idle:
                self._idle.append(Handle(self._options))
            ready = self._lanes.start_next(now)
            if ready is None:
                return
            lane, parcel = ready
            self.settled += 1
            refusal = self._start(lane, parcel)
            if refusal is not None:
                self._lanes.finish(lane, lane.pace_s, now)
                self._report(parcel, refusal)

    def _start(self, lane: Lane, parcel: Parcel) -> Outcome | None:
        """Give the request to libcurl; the outcome when that cannot be."""
        url_fault = self._urls.refusal(parcel.message.url)
        if url_fault is not None:
            return unsent(ErrorKind.BAD_URL, url_fault)
        lines = self._headers.lines(parcel.message.headers)
        if lines is None:
            return unsent(ErrorKind.BAD_REQUEST_HEADER, "a request header holds what must not be sent")
        handle = self._idle.pop()
        handle.parcel, handle.lane = parcel, lane
        self._busy[handle.curl] = handle  # from here on a fault reports it
        handle.load(parcel.message, lines)
        self._multi.add_handle(handle.curl)
        return None

    def _reap(self) -> bool:
        """Report the transfers that ended; True when there were any, so that their places are filled at once."""
        _, good, bad = self._multi.info_read()
        now = time.monotonic()
        for curl in good:
            self._retire(curl, 0, "", now)
        for curl, code, detail in bad:
            if self._busy[curl].met_a_stale_connection(code):
                self._repeat(curl)
            else:
                self._retire(curl, code, detail, now)
        return bool(good or bad)

    def _repeat(self, curl: pycurl.Curl) -> None:
        self._multi.remove_handle(curl)
        self._busy[curl].renew()
        self._multi.add_handle(curl)

    def _retire(self, curl: pycurl.Curl, code: int, detail: str, now: float) -> None:
        handle = self._busy.pop(curl)
        outcome = handle.outcome(code, detail)
        self._multi.remove_handle(curl)
        self._idle.append(handle)
        self._lanes.finish(handle.lane, outcome.duration_ms / 1000, now, outcome.kind)
        self._report(handle.parcel, outcome)

    def _sleep(self) -> None:
        """Until a socket is ready, libcurl's own timer is due, or another thread has something."""
        poller = select.poll()
        poller.register(self._wake_reader, select.POLLIN)
        unseen = self._busy and self._watch(poller) < len(self._busy)
        self._asleep = True
        timeout_s = 0.0 if self._inbox else self._sleep_s()
        if unseen and (timeout_s is None or timeout_s > UNSEEN_WAIT_S):
            timeout_s = UNSEEN_WAIT_S
        if self._lanes.waiting and not self._may_start() and (timeout_s is None or timeout_s > GATE_WAIT_S):
            timeout_s = GATE_WAIT_S
        ready = poller.poll(None if timeout_s is None else timeout_s * 1000)
        self._asleep = False
        if any(fd == self._wake_fd for fd, _ in ready):
            self._wake_reader.recv(64)

    def _watch(self, poller: select.poll) -> int:
        """Have `poller` watch what libcurl waits for; returns how many descriptors that are."""
        reading, writing, _ = self._multi.fdset()
        for fd in reading:
            poller.register(fd, select.POLLIN)
        for fd in writing:
            poller.register(fd, select.POLLOUT | select.POLLIN)
        return len(reading) + len(writing)

    def _sleep_s(self) -> float | None:
        if self._stop_at is not None:
            return min(self._curl_timer_s(), max(self._stop_at - time.monotonic(), 0.0)) if self._busy else 0.0
        if self._lanes.waiting:
            until_slot_s = max(self._lanes.next_slot_at - time.monotonic(), GATE_WAIT_S)
            return min(self._curl_timer_s(), SHED_EVERY_S, until_slot_s)
        return self._curl_timer_s() if self._busy else None

    def _curl_timer_s(self) -> float:
        timer_ms = self._multi.timeout()
        return LONGEST_WAIT_S if timer_ms < 0 else min(timer_ms / 1000, LONGEST_WAIT_S)

    def _settle(self, parcel: Parcel, outcome: Outcome) -> None:
        self.settled += 1
        self._report(parcel, outcome)

    def _report(self, parcel: Parcel, outcome: Outcome) -> None:
        try:
            parcel.record(parcel.message, outcome)
        except Exception:  # the caller's fault must not become everyone's; its lease will run out
            logger.exception("webhook.record_fault", extra=ids_of(parcel.message))

    def _give_up(self, outcome: Outcome) -> None:
        """Report all that is in flight as `outcome`; closing its handle ends a transfer."""
        now = time.monotonic()
        handles, self._busy = list(self._busy.values()), {}
        for handle in handles:
            handle.curl.close()
            self._lanes.finish(handle.lane, handle.lane.pace_s, now)
            self._report(handle.parcel, replace(outcome, started_at=handle.started_at))

    def _start_afresh(self) -> None:
        self._give_up(Outcome(OutcomeKind.FAILED, error_kind=ErrorKind.INTERNAL, error="the sender had a fault"))
        self._multi.close()
        self._multi = self._new_multi()
        time.sleep(FAULT_PAUSE_S)

    def _end(self) -> None:
        self._give_up(Outcome(OutcomeKind.FAILED, error_kind=ErrorKind.SHUTDOWN, error="cut off: the sender stopped"))
        self._multi.close()
        for handle in self._idle:
            handle.curl.close()
        self._wake_reader.close()
        self._wake_writer.close()
