"""Which of mmcv's sources are compiled as one: never two that disturb each other."""

import pytest

from bootstrap_lib import unity


def sources(folder, files):
    csrc = folder.resolve() / unity.CSRC
    for name, text in files.items():
        path = csrc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return unity.Sources(csrc)


def test_what_a_source_defines_and_declares():
    source = unity.read_source("""
        // int comment() {}
        #include "a.hpp"
        #define KEPT 1
        #define GONE(x) \\
          int gone() {}
        #undef GONE
        typedef int Index;
        namespace outer { namespace {
        template <typename T, int n = f(3)>
        __global__ __launch_bounds__(256) void kernel(const T* x) { int local = 1; }
        } }
        struct Shape { int area() { return 0; } };
        struct __align__(8) Pair { int x, y; };
        enum class Mode { A, B };
        int const table[2] = {1, 2};
        const char *text = "} int quoted() {";
        static int counter;
        Tensor announced(Tensor x,
                         int y);
        REGISTER(announced, CPU, own);
        Tensor own(Tensor x) { if (x) { return announced(x, 1); } }
    """)
    assert source.defined == {
        *('KEPT', 'Index', 'kernel', 'Shape', 'Pair', 'Mode', 'table', 'text'),
        *('counter', 'own'),
    }
    assert source.declared == {'announced', 'REGISTER'}
    assert source.includes == ['a.hpp']
    assert source.readable and source.leaks and not source.guarded


@pytest.mark.parametrize(
    ('text', 'leaks'),
    [
        ('#define A 1\nint a;\n#undef A\n', False),
        ('#define A 1\n', True),
        ('using namespace std;\n', True),
        ('int f() { using namespace std; return 1; }\n', False),
    ],
)
def test_what_changes_the_meaning_of_later_sources(text, leaks):
    assert unity.read_source(text).leaks == leaks


@pytest.mark.parametrize('text', ['int f() {\n', 'int f() { return 1; } }\n'])
def test_a_source_with_odd_braces_is_not_understood(text):
    assert not unity.read_source(text).readable


@pytest.mark.parametrize(
    ('one', 'other', 'clash'),
    [
        ('int a() { return 1; }', 'int b() { return 1; }', False),
        ('static int f() { return 1; }', 'static int f() { return 2; }', True),
        ('struct P { int x; };', 'struct P { float x; };', True),
        ('const int n = 1;', 'const int n = 2;', True),
        ('#define N 1', 'int f() { int N = 2; return N; }', True),
        # Would call the other file's instead of the library's.
        ('int floor(float x) { return 0; }', 'int g() { return floor(1.f); }', True),
        # Its own member, or a name it announces itself.
        ('int size() { return 0; }', 'int g(T x) { return x.size(); }', False),
        ('int f() { return 0; }', 'int f(); int g() { return f(); }', False),
        ('#include "guarded.hpp"', '#include "guarded.hpp"', False),
        ('#include "bare.hpp"', '#include "bare.hpp"', True),
        ('#include "guarded.hpp"', 'int inside() { return 2; }', True),
        # A template may not be used before it is specialised.
        (
            'template <> struct n::Functor<int> { int x; };',
            'int f() { n::Functor<int> g; return g.x; }',
            True,
        ),
        ('int max(T x) { return 0; }', 'int g(T x) { return std::max(x, 1); }', False),
        ('int f() {', 'int g() { return 1; }', True),
    ],
)
def test_clashes(tmp_path, one, other, clash):
    found = sources(
        tmp_path,
        {
            'pytorch/one.cpp': one,
            'pytorch/other.cpp': other,
            'common/guarded.hpp': '#ifndef G\n#define G\nint inside() {}\n#endif\n',
            'common/bare.hpp': 'int bare() { return 1; }\n',
        },
    )
    paths = [found.csrc / 'pytorch' / name for name in ('one.cpp', 'other.cpp')]
    assert found.clash(*paths) == found.clash(*paths[::-1]) == clash


def test_groups_are_bounded_and_have_no_clash_and_leaks_come_last(tmp_path):
    files = {f'pytorch/{i}.cpp': f'int f{i}() {{ return {i}; }}' for i in range(7)}
    files['pytorch/0.cpp'] = '#define LEFT 1\n'
    files['pytorch/5.cpp'] = files['pytorch/6.cpp'] = 'static int h() { return 1; }'
    found = sources(tmp_path, files)
    paths = [found.csrc / name for name in files]
    groups = found.groups(paths, 3)
    assert sorted(path for group in groups for path in group) == sorted(paths)
    assert len(groups) == 3  # seven by three, so none is wasted
    for group in groups:
        assert len(group) <= 3
        assert not {'5.cpp', '6.cpp'} <= {path.name for path in group}
        assert '0.cpp' not in [path.name for path in group[:-1]]
