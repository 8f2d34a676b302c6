"""The benchmark of the report compares two sets of numbers value by value."""

from benchmarks.report import compare, leaves


def test_every_value_has_its_place():
    numbers = dict(a=[1, dict(b=2.5)], seconds=[9], c=dict(p50=1, d='x'))
    assert dict(leaves(numbers)) == {'.a.0': 1, '.a.1.b': 2.5, '.c.d': 'x'}


def test_what_differs_is_told():
    then = dict(one=dict(x=1.0, n=3, gone=True), only_then=dict(y=1))
    now = dict(one=dict(x=1.0 + 1e-7, n=4, new='z'))
    assert compare(then, now) == {
        'one': dict(
            values=3,
            differing=3,
            such_as=['.gone: True -> None', '.n: 3 -> 4', '.new: None -> z'],
        ),
        'only_then': dict(values=1, differing=1, such_as=['.y: 1 -> None']),
    }
    (row,) = compare(dict(a=dict(x=1.0)), dict(a=dict(x=1.00001)))['a']['such_as']
    assert row == '.x: 1.0 -> 1.00001'
