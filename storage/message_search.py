"""Finding messages by subject without reading the whole stream.

Two ways to the neighbour of a position: scan rows from there (fast where the subject is frequent), or follow the chain
of `previous` back from the subject's last message (fast where it is rare). Searches for a literal subject do both in
turns, so that they cost what the cheaper way costs, twice.

Not here: the index (subject_index.py). Invariant: a chain that leads to a row that is gone or of another subject is
not trusted any further; the scan alone then gives the answer.
"""

from typing import Final

from mypy_extensions import i64

from storage.block_index import FAR, NO_PREVIOUS, FrameRows
from storage.message_rows import MessageRows
from storage.subject_index import SubjectMatcher, SubjectState
from storage.subject_order import MANY_SUBJECTS

SCAN_STEP: Final = 256
CHAIN_STEP: Final = 16
BOUNDS_AFTER: Final = 4096
FEW_SUBJECTS: Final = 64
FEW_MATCHES: Final = 16
SCAN_SHARE: Final = 4  # reading a row costs less than asking so many subjects of the index
CHAIN_COST: Final = 16  # following the chain costs about as much a message as scanning this many
NOT_FOUND: Final = 0
CHAIN_BROKEN: Final = -1


def matches_memo(matcher: SubjectMatcher, subject: bytes, memo: dict[bytes, bool]) -> bool:
    """The matcher's answer, asked once a subject."""
    known = memo.get(subject)
    if known is None:
        known = matcher.matches(subject)
        memo[subject] = known
    return known


def matching(rows: MessageRows, matcher: SubjectMatcher) -> list[tuple[bytes, SubjectState]]:
    """The subjects that match, in no particular order. Only those below the matcher's prefix are looked at."""
    index = rows.index
    found: list[tuple[bytes, SubjectState]] = []
    if matcher.prefix and len(index) >= MANY_SUBJECTS:
        for subject in rows.order.below(index, matcher.prefix):
            if matcher.matches(subject):
                found.append((subject, index[subject]))
        return found
    for subject, state in index.items():
        if matcher.matches(subject):
            found.append((subject, state))
    return found


def first_in_frame(
    rows: MessageRows, frame: FrameRows, low: i64, high: i64, literal: bytes | None, matcher: SubjectMatcher | None,
    memo: dict[bytes, bool],
) -> int:
    """The first live match among rows [low, high); NOT_FOUND otherwise."""
    positions = frame.positions
    lengths = frame.subject_lengths
    run = frame.run_of(low)
    runs: i64 = len(frame.run_rows)
    wanted: i64 = -1 if literal is None else len(literal)
    row: i64 = low
    while row < high:
        end: i64 = high
        if run + 1 < runs:
            end = min(high, frame.run_rows[run + 1])
        base: i64 = frame.run_bases[run]
        body = frame.bodies[run]
        while row < end:
            length: i64 = lengths[row]
            if wanted < 0 or length == wanted:
                start: i64 = positions[row] + base
                subject = body[start : start + length]
                if literal is not None:
                    hit = subject == literal
                else:
                    assert matcher is not None
                    hit = matches_memo(matcher, subject, memo)
                if hit and rows.is_live(frame.first_sequence + row):
                    return frame.first_sequence + row
            row += 1
        run += 1
    return NOT_FOUND


def scan_forward(
    rows: MessageRows, start: int, stop: int, literal: bytes | None, matcher: SubjectMatcher | None,
    memo: dict[bytes, bool],
) -> int:
    """The first live match in [start, stop]; NOT_FOUND otherwise."""
    number = rows.block_at(start)
    while number < len(rows.blocks):
        block = rows.blocks[number]
        if block.first_sequence > stop:
            break
        if block.last_sequence >= start:
            for at in range(block.frame_at(start), len(block.frame_firsts)):
                first = block.frame_firsts[at]
                if first > stop:
                    return NOT_FOUND
                low = max(0, start - first)
                high = min(block.frame_counts[at], stop - first + 1)
                if low < high:
                    found = first_in_frame(rows, rows.load_frame(block, at), low, high, literal, matcher, memo)
                    if found:
                        return found
        number += 1
    return NOT_FOUND


def scan_backward(
    rows: MessageRows, start: int, stop: int, literal: bytes | None, matcher: SubjectMatcher | None,
    memo: dict[bytes, bool],
) -> int:
    """The last live match in [stop, start]; NOT_FOUND otherwise."""
    number = rows.block_at(start)
    while number >= 0 and number < len(rows.blocks):
        block = rows.blocks[number]
        if block.last_sequence < stop:
            break
        for at in range(block.frame_at(start), -1, -1):
            first = block.frame_firsts[at]
            low = max(0, stop - first)
            high = min(block.frame_counts[at], start - first + 1)
            if low < high:
                frame = rows.load_frame(block, at)
                for row in range(high - 1, low - 1, -1):
                    subject = frame.subject(row)
                    if literal is not None:
                        hit = subject == literal
                    else:
                        assert matcher is not None
                        hit = matches_memo(matcher, subject, memo)
                    if hit and rows.is_live(first + row):
                        return first + row
        number -= 1
    return NOT_FOUND


def before_in_chain(rows: MessageRows, subject: bytes, sequence: int) -> int:
    """The message of the subject before this row; NOT_FOUND at the end of the chain, CHAIN_BROKEN when not known."""
    frame = rows.frame_of(sequence)
    if frame is None:
        return CHAIN_BROKEN
    row = sequence - frame.first_sequence
    if frame.subject(row) != subject:
        return CHAIN_BROKEN
    delta = frame.previous[row]
    if delta == NO_PREVIOUS:
        return NOT_FOUND
    return CHAIN_BROKEN if delta == FAR else sequence - delta


def next_literal(rows: MessageRows, subject: bytes, state: SubjectState, start: int) -> int:
    """The first live message of the subject at or behind `start`; NOT_FOUND otherwise."""
    start = max(start, rows.first_sequence)
    last = int(state.last)
    if start > last:
        return NOT_FOUND
    if state.first >= start and state.first_exact:
        return state.first
    if state.count == 1 and state.last_exact:
        return last
    low = max(start, state.first)
    found = search_both_ways(rows, subject, low, last)
    if found and start <= state.first:
        state.first = found
        state.first_exact = True
    return found


def search_both_ways(rows: MessageRows, subject: bytes, low: int, last: int) -> int:
    """The first live message of the subject in [low, last], where `last` bounds the subject's messages from above."""
    memo: dict[bytes, bool] = {}
    chain = last
    best = NOT_FOUND
    step = SCAN_STEP
    while low <= last:
        found = scan_forward(rows, low, min(last, low + step - 1), subject, None, memo)
        if found:
            return found
        low += step
        step *= 2
        for _ in range(CHAIN_STEP if chain > 0 else 0):
            if chain < low:
                return best
            before = before_in_chain(rows, subject, chain)
            if before == CHAIN_BROKEN:
                chain = CHAIN_BROKEN
                break
            if rows.is_live(chain):
                best = chain
            if before < low:
                return best
            chain = before
    return best


def last_literal(rows: MessageRows, subject: bytes, state: SubjectState) -> int:
    """The last live message of a subject that has one."""
    if state.last_exact:
        return state.last
    found = previous_literal(rows, subject, int(state.last), int(state.last))
    assert found > 0, "a subject in the index has no live message"
    state.last = found
    state.last_exact = True
    return found


def previous_literal(rows: MessageRows, subject: bytes, start: int, last: int) -> int:
    """The last live message of the subject in [first_sequence, start]; the chain is followed from `last` ≥ start."""
    memo: dict[bytes, bool] = {}
    chain = last
    step = SCAN_STEP
    while start >= rows.first_sequence:
        stop = max(rows.first_sequence, start - step + 1)
        found = scan_backward(rows, start, stop, subject, None, memo)
        if found:
            return found
        start = stop - 1
        step *= 2
        for _ in range(CHAIN_STEP if chain > 0 else 0):
            if chain <= start and rows.is_live(chain) and before_in_chain(rows, subject, chain) != CHAIN_BROKEN:
                return chain
            chain = before_in_chain(rows, subject, chain)
            if chain == NOT_FOUND:
                return NOT_FOUND
            if chain == CHAIN_BROKEN:
                break
    return NOT_FOUND


def next_match(rows: MessageRows, start: int, matcher: SubjectMatcher) -> int:
    """The first live match of a pattern at or behind `start`; NOT_FOUND otherwise."""
    memo: dict[bytes, bool] = {}
    start = max(start, rows.first_sequence)
    last = rows.last_sequence
    if len(rows.index) > FEW_SUBJECTS:
        stop = min(last, start + BOUNDS_AFTER - 1)
        found = scan_forward(rows, start, stop, None, matcher, memo)
        if found or stop == last:
            return found
        start = stop + 1
    # Nothing near: let the index say which subjects match at all, and where.
    low = last + 1
    high = 0
    matched: list[bytes] = []
    for subject, state in matching(rows, matcher):
        if state.last >= start:
            matched.append(subject)
            low = min(low, max(start, state.first))
            high = max(high, state.last)
    if len(matched) > FEW_MATCHES:
        return scan_forward(rows, low, high, None, matcher, memo)
    best = NOT_FOUND
    for subject in matched:
        found = next_literal(rows, subject, rows.index[subject], start)
        if found and (not best or found < best):
            best = found
    return best


def previous_match(rows: MessageRows, start: int, matcher: SubjectMatcher) -> int:
    """The last live match of a pattern at or before `start`; NOT_FOUND otherwise."""
    memo: dict[bytes, bool] = {}
    if len(rows.index) > FEW_SUBJECTS:
        stop = max(rows.first_sequence, start - BOUNDS_AFTER + 1)
        found = scan_backward(rows, start, stop, None, matcher, memo)
        if found or stop == rows.first_sequence:
            return found
        start = stop - 1
    low = start + 1
    high = 0
    matched: list[bytes] = []
    for subject, state in matching(rows, matcher):
        if state.first <= start:
            matched.append(subject)
            low = min(low, state.first)
            high = max(high, min(start, state.last))
    if len(matched) > FEW_MATCHES:
        return scan_backward(rows, high, low, None, matcher, memo)
    best = NOT_FOUND
    for subject in matched:
        state = rows.index[subject]
        if start >= state.last:
            best = max(best, last_literal(rows, subject, state))
        else:
            best = max(best, previous_literal(rows, subject, start, int(state.last)))
    return best


def count_literal(rows: MessageRows, subject: bytes, state: SubjectState, start: int) -> int:
    """Live messages of the subject at or behind `start`."""
    if start <= state.first:
        return state.count
    if state.count == rows.messages:
        return rows.last_sequence - start + 1 - rows.missing.count_from(start)
    total = 0
    chain = int(state.last)
    if state.count * CHAIN_COST > chain - start:
        first = int(state.first)
        if start - first < chain - start:
            return int(state.count) - count_scan(rows, first, start - 1, subject, None)
        return count_scan(rows, start, chain, subject, None)
    while chain >= start:
        before = before_in_chain(rows, subject, chain)
        if before == CHAIN_BROKEN:
            return total + count_scan(rows, start, chain, subject, None)
        if rows.is_live(chain):
            total += 1
        chain = before
    return total


def count_match(rows: MessageRows, start: int, matcher: SubjectMatcher) -> int:
    """Live matches of a pattern at or behind `start`: all of them, or the smaller side by scanning."""
    if (rows.last_sequence - start) * SCAN_SHARE < len(rows.index):
        return count_scan(rows, start, rows.last_sequence, None, matcher)  # cheaper than asking every subject
    total = 0
    low = rows.last_sequence + 1
    high = 0
    matched: list[bytes] = []
    for subject, state in matching(rows, matcher):
        matched.append(subject)
        total += state.count
        low = min(low, state.first)
        high = max(high, state.last)
    if start <= low or total == 0:
        return total
    if start > high:
        return 0
    if len(matched) <= FEW_MATCHES and total * CHAIN_COST < high - start:
        return sum([count_literal(rows, subject, rows.index[subject], start) for subject in matched])
    if start - low < high - start:
        return total - count_scan(rows, low, start - 1, None, matcher)
    return count_scan(rows, start, high, None, matcher)


def count_scan(rows: MessageRows, low: int, high: int, literal: bytes | None, matcher: SubjectMatcher | None) -> int:
    """Live matches in [low, high], by scanning."""
    memo: dict[bytes, bool] = {}
    total = 0
    for number in range(rows.block_at(low), len(rows.blocks)):
        block = rows.blocks[number]
        if block.first_sequence > high:
            break
        for at in range(block.frame_at(low), len(block.frame_firsts)):
            first = block.frame_firsts[at]
            row = max(0, low - first)
            end = min(block.frame_counts[at], high - first + 1)
            if row < end:
                total += count_in_frame(rows, rows.load_frame(block, at), row, end, literal, matcher, memo)
    return total


def count_in_frame(
    rows: MessageRows, frame: FrameRows, low: int, high: int, literal: bytes | None, matcher: SubjectMatcher | None,
    memo: dict[bytes, bool],
) -> int:
    """Live matches among rows [low, high)."""
    total = 0
    while low < high:
        found = first_in_frame(rows, frame, low, high, literal, matcher, memo)
        if not found:
            break
        total += 1
        low = found - frame.first_sequence + 1
    return total
