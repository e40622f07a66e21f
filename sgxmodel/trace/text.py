# SPDX-License-Identifier: GPL-2.0-only
"""The text form of a trace, version 2; version 1, without patches' texts, is read, too.

ASCII, one statement a line, the first word says which; ``|`` lines are the
scenario as it is written in its own file, ``>`` lines the text of the patch above,
indented lines what the step above changed.  Strings that are not one plain word are JSON
strings.  The last line says ``end``, so that a truncated file is known as such.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import attrs

from sgxmodel.errors import TraceError
from sgxmodel.trace.events import VERSION, Choice, Patch, Point, Step, Switch, Trace

HEADER = "# sgxmodel trace "
BYTES_MAX = 64 << 20
PLAIN = re.compile(r"[A-Za-z0-9_./?+-]+")
TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([^\s"]+))(?=\s|$)')
NUMBER = re.compile(r"[0-9]{1,9}")
AGAIN = "make a new one with 'sgxmodel check'"


# -- writing ----------------------------------------------------------------------------------


def format(trace: Trace) -> str:
    """The text of a trace; :func:`parse` gives it back."""
    out = [
        f"{HEADER}{trace.version}",
        f"target {_word(trace.target)}",
        *(f"origin {json.dumps(said)}" for said in trace.origin),
        *(line for patch in trace.patches for line in _patch(patch)),
        *(["memory"] if trace.memory else []),
        f"invariant {_word(trace.invariant)}",
        f"function {_word(trace.function)}",
        f"title {json.dumps(trace.title)}",
        *(f"message {json.dumps(line)}" for line in trace.message.split("\n")),
        f"preemptions {trace.preemptions}",
        f"scenario {_word(trace.scenario)}",
        *(_scenario_line(line) for line in trace.scenario_text.split("\n")),
    ]
    for switch in trace.switches:
        where = f"after {_point(switch.after)}" if switch.after else "start"
        out.append(f"switch {_word(switch.task)} {where}")
    out += [f"choice {c.outcome} at {_point(c.at)}" for c in trace.choices]
    for step in trace.steps:
        out.append(_step(step))
        out += [f"    {json.dumps(change)}" for change in step.changes]
    # DEL is the one control byte that JSON lets through.
    return "\n".join([*out, "end", ""]).replace("\x7f", "\\u007f")


def _word(text: str) -> str:
    return text if PLAIN.fullmatch(text) else json.dumps(text)


def _patch(patch: Patch) -> Iterator[str]:
    yield f"patch {_word(patch.name)}"
    if patch.text:
        yield from (_quoted(line, ">") for line in patch.text.split("\n"))


def _scenario_line(line: str) -> str:
    return _quoted(line, "|")


def _quoted(line: str, mark: str) -> str:
    plain = line.isascii() and line.isprintable() and not line.endswith(" ")
    return f"{mark} {line}".rstrip() if plain else f'{mark}" {json.dumps(line)}'


def _point(point: Point) -> str:
    return (
        f"{_word(point.task)} {_word(point.function)} {json.dumps(point.text)} {point.occurrence}"
    )


def _step(step: Step) -> str:
    result = f" = {json.dumps(step.result)}" if step.result else ""
    return (
        f"step {step.number} {_word(step.task)} {json.dumps(step.call)} {_word(step.function)}"
        f" {_word(step.file)} {step.lineno} {json.dumps(step.text)}{result}"
    )


# -- reading ----------------------------------------------------------------------------------


def parse(text: str, where: str = "trace") -> Trace:
    """Read a trace.  Raises :class:`TraceError`: one line, and what to do."""
    lines = text.split("\n")
    _check_header(lines[0].rstrip("\r"), where)
    reader = _Reader(where)
    for reader.number, line in enumerate(lines[1:], 2):
        reader.line(line.rstrip("\r"))
    return reader.finish()


def _check_header(line: str, where: str) -> None:
    if not line.startswith(HEADER):
        raise TraceError(
            f"{where}: not a trace of sgxmodel: the first line is not '{HEADER}{VERSION}'"
        )
    version = line[len(HEADER) :].strip()
    if not NUMBER.fullmatch(version):
        raise TraceError(f"{where}: the first line names no version; {AGAIN}")
    if int(version) > VERSION:
        raise TraceError(
            f"{where}: written by a newer sgxmodel (trace {version}, this one reads {VERSION}): "
            "update sgxmodel"
        )
    if int(version) not in (1, VERSION):
        raise TraceError(f"{where}: there is no trace version {version}; {AGAIN}")


class _Reader:
    """Statements, in the order in which :func:`format` writes them."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.number = 1
        self.ended = False
        self.values: dict[str, str] = {}
        self.patches: list[tuple[str, list[str]]] = []
        self.origin: list[str] = []
        self.memory = False
        self.message: list[str] = []
        self.scenario: list[str] = []
        self.switches: list[Switch] = []
        self.choices: list[Choice] = []
        self.steps: list[Step] = []
        self.changes: list[str] = []

    def error(self, message: str) -> NoReturn:
        raise TraceError(f"{self.where}:{self.number}: {message}; {AGAIN}")

    def line(self, line: str) -> None:
        if not line.strip():
            return
        if self.ended:
            self.error("something follows the end of the trace")
        if line.startswith("|"):
            self.scenario.append(self.quoted(line))
        elif line.startswith(">"):
            if not self.patches:
                self.error("a patch's text before its name")
            self.patches[-1][1].append(self.quoted(line))
        elif line[0].isspace():
            self.change(line)
        else:
            words = self.tokens(line)
            verb = next(words)
            method = getattr(self, f"on_{verb}", None)
            if method is None:
                self.error(f"'{verb[:40]}' begins no statement of a trace")
            method(words)
            if next(words, None) is not None:
                self.error(f"more than a '{verb}' statement holds")

    def tokens(self, line: str) -> Iterator[str]:
        at, line = 0, line.rstrip()
        while at < len(line):
            match = TOKEN.match(line, at)
            if match is None:
                self.error("a quote is not closed, or stands in a word")
            at = match.end()
            quoted, plain = match.groups()
            yield plain if quoted is None else self.string(quoted)

    def string(self, quoted: str) -> str:
        try:
            value = json.loads(quoted)
        except ValueError:
            self.error("a string that JSON does not know")
        assert isinstance(value, str)
        return value

    def take(self, words: Iterator[str], what: str) -> str:
        word = next(words, None)
        if word is None:
            self.error(f"{what} is missing")
        return word

    def whole(self, words: Iterator[str], what: str) -> int:
        word = self.take(words, what)
        if not NUMBER.fullmatch(word):
            self.error(f"{what} should be a whole number")
        return int(word)

    def expect(self, words: Iterator[str], word: str) -> None:
        if self.take(words, f"'{word}'") != word:
            self.error(f"'{word}' is expected here")

    def once(self, key: str, words: Iterator[str]) -> None:
        if key in self.values:
            self.error(f"'{key}' is given twice")
        self.values[key] = self.take(words, f"the {key}")

    def on_target(self, words: Iterator[str]) -> None:
        self.once("target", words)

    def on_patch(self, words: Iterator[str]) -> None:
        self.patches.append((self.take(words, "the patch"), []))

    def on_origin(self, words: Iterator[str]) -> None:
        self.origin.append(self.take(words, "the origin"))

    def on_memory(self, words: Iterator[str]) -> None:
        self.memory = True

    def on_invariant(self, words: Iterator[str]) -> None:
        self.once("invariant", words)

    def on_function(self, words: Iterator[str]) -> None:
        self.once("function", words)

    def on_title(self, words: Iterator[str]) -> None:
        self.once("title", words)

    def on_scenario(self, words: Iterator[str]) -> None:
        self.once("scenario", words)

    def on_preemptions(self, words: Iterator[str]) -> None:
        number = self.whole(words, "the number of preemptions")
        self.once("preemptions", iter([str(number)]))

    def on_message(self, words: Iterator[str]) -> None:
        self.message.append(self.take(words, "the message"))

    def quoted(self, line: str) -> str:
        return self.take(self.tokens(line[2:]), "a line") if line[1:2] == '"' else line[2:]

    def on_switch(self, words: Iterator[str]) -> None:
        task = self.take(words, "the task to run")
        kind = self.take(words, "'start' or 'after'")
        if kind not in ("start", "after"):
            self.error("'start' or 'after' is expected here")
        self.switches.append(Switch(self.point(words) if kind == "after" else None, task))

    def on_choice(self, words: Iterator[str]) -> None:
        outcome = self.whole(words, "the outcome")
        self.expect(words, "at")
        self.choices.append(Choice(self.point(words), outcome))

    def point(self, words: Iterator[str]) -> Point:
        task, function = self.take(words, "the task"), self.take(words, "the function")
        text = self.take(words, "the operation")
        return Point(task, function, text, self.whole(words, "how often it happened"))

    def on_step(self, words: Iterator[str]) -> None:
        self.flush()
        number = self.whole(words, "the step's number")
        task, call = self.take(words, "the task"), self.take(words, "the call")
        function, file = self.take(words, "the function"), self.take(words, "the file")
        lineno = self.whole(words, "the line")
        text = self.take(words, "the operation")
        result = ""
        follows = next(words, None)
        if follows is not None:
            if follows != "=":
                self.error("'=' is expected here")
            result = self.take(words, "the result")
        self.steps.append(Step(number, task, call, function, file, lineno, text, result))

    def change(self, line: str) -> None:
        if not self.steps:
            self.error("a change before the first step")
        words = self.tokens(line)
        self.changes.append(self.take(words, "the change"))

    def flush(self) -> None:
        if self.changes:
            self.steps[-1] = attrs.evolve(self.steps[-1], changes=tuple(self.changes))
            self.changes.clear()

    def on_end(self, words: Iterator[str]) -> None:
        self.flush()
        self.ended = True

    def finish(self) -> Trace:
        if not self.ended:
            self.error("the trace is truncated: no 'end' line")
        for key in ("target", "invariant", "function", "title", "scenario", "preemptions"):
            if key not in self.values:
                self.error(f"the trace has no '{key}' line")
        if not self.message or not self.scenario:
            self.error("the trace has no message or no scenario")
        return Trace(
            target=self.values["target"],
            scenario=self.values["scenario"],
            scenario_text="\n".join(self.scenario),
            invariant=self.values["invariant"],
            function=self.values["function"],
            title=self.values["title"],
            message="\n".join(self.message),
            preemptions=int(self.values["preemptions"]),
            switches=tuple(self.switches),
            choices=tuple(self.choices),
            steps=tuple(self.steps),
            patches=tuple(Patch(name, "\n".join(text)) for name, text in self.patches),
            origin=tuple(self.origin),
            memory=self.memory,
        )


# -- files ------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> Trace:
    """Read a trace file.  Raises :class:`TraceError`."""
    where = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        why = error.strerror or error
        raise TraceError(f"{where}: {why}; give a trace that 'sgxmodel check' wrote") from None
    if len(data) > BYTES_MAX:
        raise TraceError(f"{where}: larger than any trace ({BYTES_MAX >> 20} MiB); {AGAIN}")
    try:
        return parse(data.decode("ascii"), where)
    except UnicodeDecodeError:
        if data.startswith(HEADER.encode()):
            raise TraceError(f"{where}: the trace is damaged (not ASCII); {AGAIN}") from None
        raise TraceError(f"{where}: not a trace of sgxmodel (not ASCII text)") from None


def write(path: str | os.PathLike[str], trace: Trace) -> None:
    """Write a trace file, whole or not at all; over an older trace, over nothing else."""
    target = Path(path)
    try:
        if os.path.lexists(target) and not is_trace(target):
            raise TraceError(
                f"{target}: exists and is not a trace: move it away, or give --traces another "
                "directory"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            fresh.write_text(format(trace), encoding="ascii", newline="\n")
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise TraceError(f"{target}: cannot be written: {error.strerror or error}") from None


def is_trace(path: Path) -> bool:
    """Whether a trace may be written over this file: it is one, and no link."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(HEADER)) == HEADER.encode()
