"""The config that is written: read again it is what was decided, and easy to read."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from check_each import check_each
from data_folders import coco_one_folder_of_images
from mmdet_qrpaq.data.leaf import difference, leaf_name, leaf_text, name_of_base
from mmdet_qrpaq.data.options import RunOptions
from mmdet_qrpaq.data.plan import fit
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.formats.folder import open_folder
from mmdet_qrpaq.runtime.configs import read_config
from mmdet_qrpaq.settings.decision import Decision
from tiny_hosts import REPOSITORY

CONFIGS = REPOSITORY / 'configs'
HOSTS = (
    *('paq_dino_r50_12e.py', 'paq_deformable_detr_pp_r50_24e_masks_cityscapes.py'),
    *('qr_dab_detr_r50_12e.py', 'paq_dino_r18_4e_digits.py', 'dino_swin_l_12e.py'),
)
_NAMES = st.sampled_from(['a', 'b', 'c', 'not a name', 'class', '7'])
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.just('/data/mine/x.json'),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(_NAMES, inner, max_size=3)
    ),
    max_leaves=8,
)
_SETTINGS = st.dictionaries(st.sampled_from(['x', 'y', 'model']), _VALUES, max_size=3)


@pytest.fixture
def data(tmp_path):
    coco_one_folder_of_images(tmp_path / 'my parts')
    return open_folder(tmp_path / 'my parts', tmp_path / 'converted')


def test_read_again_it_is_the_fitted_config(data, tmp_path):
    def check(name):
        base = read_config(name)
        fitted = copy.deepcopy(base)
        decided = fit(fitted, data, RunOptions(image_size=96, seed=3))
        path = tmp_path / 'leaf.py'
        named = name_of_base(base.filename, path)
        path.write_text(leaf_text(base, named, fitted, decided))
        assert Config.fromfile(path).to_dict() == fitted.to_dict()
        lines = path.read_text().splitlines()
        # A path is as long as it is.
        short = [line for line in lines if str(tmp_path) not in line]
        assert max(len(line) for line in short if '_base_' not in line) <= 88

    ours = [str(CONFIGS / name) for name in HOSTS]
    check_each(check, [*ours, 'mmdet::detr/detr_r50_8xb2-150e_coco.py'])


@settings(max_examples=40)
@given(_SETTINGS, _SETTINGS)
def test_any_settings_survive(tmp_path_factory, before, after):
    folder = tmp_path_factory.mktemp('leaf')
    base = folder / 'base.py'
    base.write_text(''.join(f'{key} = {value!r}\n' for key, value in before.items()))
    fitted = Config({**before, **after, 'data_root': '/data/mine/'})
    text = leaf_text(Config.fromfile(base), './base.py', fitted, ())
    (folder / 'leaf.py').write_text(text)
    assert Config.fromfile(folder / 'leaf.py').to_dict() == fitted.to_dict()


def test_only_what_differs_is_said():
    base = dict(a=1, b=dict(c=2, d=3), e=[1], f=dict(g=1, h=2), i=1)
    fitted = dict(a=1, b=dict(c=2, d=4), e=[1, 2], f=dict(g=1), i=dict(j=1), k=None)
    assert difference(base, fitted) == dict(
        b=dict(d=4),
        e=[1, 2],
        f=dict(_delete_=True, g=1),
        i=dict(_delete_=True, j=1),
        k=None,
    )
    assert difference(fitted, fitted) == {}


def test_two_loaders_that_are_alike_lose_the_same_settings(tmp_path):
    """mmengine would take `_delete_` out of the one dict that two names share."""
    (tmp_path / 'base.py').write_text('one = dict(a=1, b=2)\ntwo = dict(a=1, b=2)\n')
    base = Config.fromfile(tmp_path / 'base.py')
    fitted = Config(dict(one=dict(a=3), two=dict(a=3)))
    (tmp_path / 'leaf.py').write_text(leaf_text(base, './base.py', fitted, ()))
    assert Config.fromfile(tmp_path / 'leaf.py').to_dict() == fitted.to_dict()


def test_infinity_is_written(tmp_path):
    (tmp_path / 'base.py').write_text('x = 1\n')
    fitted = Config(dict(x=[float('-inf')]))
    text = leaf_text(Config.fromfile(tmp_path / 'base.py'), './base.py', fitted, ())
    (tmp_path / 'leaf.py').write_text(text)
    assert Config.fromfile(tmp_path / 'leaf.py').x == [float('-inf')]


def test_names_out_of_files_cannot_become_code(tmp_path):
    """Class names and folders are others' text; a comment ends with its line."""
    evil = 'bolt\nraise SystemExit("ran")\r#'
    (tmp_path / 'base.py').write_text('x = 1\n')
    base = Config.fromfile(tmp_path / 'base.py')
    fitted = Config(dict(x=1, metainfo=dict(classes=(evil, '{{ $HOME:y }}', '"""'))))
    decided = [Decision('metainfo', f'3 classes ({evil})', evil)]
    (tmp_path / 'leaf.py').write_text(leaf_text(base, './base.py', fitted, decided))
    assert Config.fromfile(tmp_path / 'leaf.py').to_dict() == fitted.to_dict()


def test_reasons_stand_above_what_they_are_about():
    base = Config(dict(model=dict(num_queries=300), lr=1))
    fitted = Config(dict(model=dict(num_queries=350), lr=1))
    decided = [Decision('model', '350 queries', 'many'), Decision('lr', 'kept', 'so')]
    text = leaf_text(base, 'base.py', fitted, decided)
    assert text.splitlines()[2:] == [
        "_base_ = 'base.py'",
        '',
        '# 350 queries: many',
        'model = dict(num_queries=350)',
    ]


def test_what_has_no_text_is_refused():
    with pytest.raises(ConfigError, match="take a config in mmengine's text style"):
        leaf_text(Config({}), 'base.py', Config(dict(a=[object()])), ())


def test_names_of_leaves_and_bases(tmp_path, monkeypatch):
    assert leaf_name('configs/dino.py', 'data/my parts v1.2/') == 'dino_my_parts_v1_2'
    assert leaf_name('mmdet::dino/dino.py', tmp_path / 'x') == 'dino_x'
    monkeypatch.chdir(tmp_path)
    work = tmp_path / 'work_dirs' / 'a'
    assert name_of_base('configs/dino.py', work / 'a.py') == '../../configs/dino.py'
    assert name_of_base('/else/dino.py', work / 'a.py') == '/else/dino.py'
