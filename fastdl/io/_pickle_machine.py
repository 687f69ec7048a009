"""The part of Python's pickle format that weights need: containers, numbers, text, and names that the caller gives meaning.

A pickle is a program for a machine with a stack and a memo. This machine has no instruction that imports, calls a method or
sets an attribute: REDUCE calls only what `name` returned as a Callable, and BUILD, which torch writes after a state_dict for
its metadata, is taken only on a dict and forgotten.

Ref  Lib/pickletools.py of Python for the instructions (facts only).
"""

import struct

MARK = object()


class ProgramError(ValueError):
    """The program is damaged, or uses an instruction that weights do not need."""


class Callable:
    """A function that REDUCE may call."""

    __slots__ = ("function",)

    def __init__(self, function):
        self.function = function


class _Tape:
    """The bytes of the program."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise ProgramError("the program ends in the middle of an instruction")
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, format):
        return struct.unpack(format, self.take(struct.calcsize(format)))[0]

    def line(self):
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise ProgramError("the program ends in the middle of a name")
        text = self.data[self.at : end].decode("ascii", "replace")
        self.at = end + 1
        return text


# Instructions that push one value read from the tape.
_PUSH = {
    b"N": lambda t: None,
    b"\x88": lambda t: True,
    b"\x89": lambda t: False,
    b"K": lambda t: t.number("<B"),
    b"M": lambda t: t.number("<H"),
    b"J": lambda t: t.number("<i"),
    b"G": lambda t: t.number(">d"),
    b"\x8a": lambda t: int.from_bytes(t.take(t.number("<B")), "little", signed=True),
    b"X": lambda t: t.take(t.number("<I")).decode(),
    b"\x8c": lambda t: t.take(t.number("<B")).decode(),
    b"C": lambda t: t.take(t.number("<B")),
    b"B": lambda t: t.take(t.number("<I")),
    b"U": lambda t: t.take(t.number("<B")).decode("latin-1"),
    b"T": lambda t: t.take(t.number("<I")).decode("latin-1"),
    b"}": lambda t: {},
    b"]": lambda t: [],
    b")": lambda t: (),
}


def run(data: bytes, name, persistent, at: int = 0):
    """(the value that the program from byte `at` makes, where it ends).

    name(module, name) and persistent(id) give names and persistent ids their meaning.
    """
    tape, stack, memo = _Tape(data, at), [], {}

    def pop():
        if not stack or stack[-1] is MARK:
            raise ProgramError("the stack is empty")
        return stack.pop()

    def since_mark():
        values = []
        while stack and stack[-1] is not MARK:
            values.append(stack.pop())
        if not stack:
            raise ProgramError("there is no mark")
        stack.pop()
        return values[::-1]

    def of_kind(kind, what):
        if not stack or type(stack[-1]) is not kind:
            raise ProgramError(f"{what} on something else than a {kind.__name__}")
        return stack[-1]

    def put(key):
        if not stack or stack[-1] is MARK:
            raise ProgramError("nothing to remember")
        memo[key] = stack[-1]

    def get(key):
        if key not in memo:
            raise ProgramError(f"the memo has no entry {key}")
        stack.append(memo[key])

    while True:
        code = tape.take(1)
        if code in _PUSH:
            stack.append(_PUSH[code](tape))
        elif code == b"(":
            stack.append(MARK)
        elif code == b"q":
            put(tape.number("<B"))
        elif code == b"r":
            put(tape.number("<I"))
        elif code == b"\x94":  # MEMOIZE
            put(len(memo))
        elif code == b"h":
            get(tape.number("<B"))
        elif code == b"j":
            get(tape.number("<I"))
        elif code == b"t":
            stack.append(tuple(since_mark()))
        elif code in (b"\x85", b"\x86", b"\x87"):  # TUPLE1 to TUPLE3
            values = [pop() for _ in range(code[0] - 0x84)]
            stack.append(tuple(values[::-1]))
        elif code == b"s":
            value, key = pop(), pop()
            of_kind(dict, "SETITEM")[key] = value
        elif code == b"u":
            values = since_mark()
            if len(values) % 2:
                raise ProgramError("a key without a value")
            of_kind(dict, "SETITEMS").update(zip(values[::2], values[1::2], strict=True))
        elif code == b"a":
            value = pop()
            of_kind(list, "APPEND").append(value)
        elif code == b"e":
            values = since_mark()
            of_kind(list, "APPENDS").extend(values)
        elif code == b"c":
            stack.append(name(tape.line(), tape.line()))
        elif code == b"\x93":  # STACK_GLOBAL
            last, module = pop(), pop()
            stack.append(name(module, last))
        elif code == b"Q":
            stack.append(persistent(pop()))
        elif code == b"R":
            args = pop()
            function = of_kind(Callable, "REDUCE")
            if type(args) is not tuple:
                raise ProgramError("REDUCE without a tuple of arguments")
            stack[-1] = function.function(*args)
        elif code == b"b":
            pop()
            of_kind(dict, "BUILD")
        elif code == b"\x80":
            if tape.number("<B") > 5:
                raise ProgramError("a newer pickle protocol than 5")
        elif code == b"\x95":  # FRAME
            tape.take(8)
        elif code == b"0":
            pop()
        elif code == b".":
            return pop(), tape.at
        else:
            raise ProgramError(f"the instruction {code[0]:#x} is none that weights need")
