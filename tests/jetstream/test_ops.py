"""The operations of a log have numbers of their own: two of the same would be taken for one another."""

from broker.jetstream import ops


def test_no_number_is_given_twice() -> None:
    numbers = [value for name, value in vars(ops).items() if name.startswith("OP_")]
    assert len(numbers) > 10 and len(set(numbers)) == len(numbers)
