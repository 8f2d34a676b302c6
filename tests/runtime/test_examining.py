"""Annotation files as a config names them: all of its places agree, or are mended."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from coco_file import sound, write
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.finding import Severity
from mmdet_qrpaq.runtime.examining import examine, use_sound_data

CLASSES = ('bolt', 'nut')


def dataset(root: Path, name: str, classes=CLASSES) -> dict:
    return dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file=name,
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=classes),
    )


def config(root: Path, train=None, val=None, **settings) -> Config:
    """A training on train.json, judged by val.json: sound, or changed as given."""
    for name, coco in (('train.json', train), ('val.json', val)):
        write(root, coco or sound(), name)
    cfg = dict(
        model=dict(bbox_head=dict(num_classes=2), num_queries=20),
        train_dataloader=dict(dataset=dataset(root, 'train.json')),
        val_dataloader=dict(dataset=dataset(root, 'val.json') | dict(test_mode=True)),
        val_evaluator=dict(type='CocoMetric', ann_file=str(root / 'val.json')),
    )
    cfg = Config(cfg, cfg_text='text', filename='c.py')
    cfg.merge_from_dict(settings)
    return cfg


def changed(**changes) -> dict:
    """A sound file but for the second object."""
    coco = sound()
    coco['annotations'][1] |= changes
    return coco


def reversed_classes() -> dict:
    coco = sound()
    coco['categories'].reverse()
    return coco


def settings_of(cfg: Config, root: Path, **options) -> dict:
    return use_sound_data(cfg, ('train', 'val'), root / 'copies', **options)


def names(path: str) -> list[str]:
    return [entry['name'] for entry in json.loads(Path(path).read_text())['categories']]


def test_sound_data_are_used_as_they_are(tmp_path, capsys):
    cfg = config(tmp_path)
    assert settings_of(cfg, tmp_path) == {}
    assert examine(cfg, ('train', 'val')).findings == []
    assert not (tmp_path / 'copies').exists()
    assert capsys.readouterr().out == ''


def test_every_place_of_a_file_reads_the_copy(tmp_path, capsys):
    cfg = config(tmp_path, val=changed(id=0))
    copy = str(tmp_path / 'copies' / 'val.json')
    assert settings_of(cfg, tmp_path) == {
        'val_dataloader.dataset.ann_file': copy,
        'val_evaluator.ann_file': copy,
    }
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f'{tmp_path}/val.json is read from the copy {copy}: an annotation has id 0, '
        'which pycocotools counts as never found (there, they are numbered from 1).'
    ]
    # A training alone does not care.
    cfg = config(tmp_path, train=changed(id=0))
    assert settings_of(cfg, tmp_path) == {}


def test_a_metric_in_a_list_is_a_place_too(tmp_path):
    cfg = config(tmp_path, val=changed(id=0))
    cfg.val_evaluator = [dict(type='DumpDetResults'), cfg.val_evaluator]
    settings = settings_of(cfg, tmp_path)
    cfg.merge_from_dict(settings)
    assert cfg.val_evaluator[1].ann_file == str(tmp_path / 'copies' / 'val.json')


def test_what_the_evaluator_reads_is_checked_before_the_training(tmp_path):
    nan = [float('nan')] * 4
    for other in (changed(bbox=nan), changed(area='x')):
        write(tmp_path, other, 'other.json')
        cfg = config(tmp_path)
        cfg.val_evaluator.ann_file = str(tmp_path / 'other.json')
        with pytest.raises(ConfigError, match='other.json, annotation 12 in image a'):
            settings_of(cfg, tmp_path)


def test_two_files_with_the_classes_in_another_order(tmp_path, capsys):
    cfg = config(tmp_path, val=reversed_classes())
    settings = settings_of(cfg, tmp_path)
    copy = settings['val_dataloader.dataset.ann_file']
    assert settings['val_evaluator.ann_file'] == copy
    assert names(copy) == ['bolt', 'nut']
    assert 'in another order than the classes' in capsys.readouterr().out


def test_data_sets_that_are_joined(tmp_path):
    cfg = config(tmp_path)
    write(tmp_path, reversed_classes(), 'more.json')
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset',
        datasets=[dataset(tmp_path, 'train.json'), dataset(tmp_path, 'more.json')],
    )
    settings = settings_of(cfg, tmp_path)
    assert list(settings) == ['train_dataloader.dataset.datasets.1.ann_file']
    cfg.merge_from_dict(settings)
    path = cfg.train_dataloader.dataset.datasets[1].ann_file
    assert names(path) == ['bolt', 'nut']


def test_classes_that_the_config_lists_in_two_orders(tmp_path):
    cfg = config(tmp_path, val=reversed_classes())
    cfg.val_dataloader.dataset.metainfo.classes = CLASSES[::-1]
    settings = settings_of(cfg, tmp_path)
    assert settings['val_dataloader.dataset.metainfo.classes'] == CLASSES
    assert names(settings['val_evaluator.ann_file']) == ['bolt', 'nut']


def test_a_checkpoint_s_classes_come_first(tmp_path):
    cfg = config(tmp_path)
    settings = settings_of(cfg, tmp_path, classes=CLASSES[::-1])
    assert settings['train_dataloader.dataset.metainfo.classes'] == CLASSES[::-1]
    assert names(settings['val_evaluator.ann_file']) == ['nut', 'bolt']
    # Those of another task do not matter.
    assert settings_of(cfg, tmp_path, classes=('cat', 'dog')) == {}


def test_copies_of_files_with_one_name(tmp_path):
    cfg = config(tmp_path)
    for split in ('train', 'val'):
        (tmp_path / split).mkdir()
        write(tmp_path / split, reversed_classes(), 'all.json')
        cfg[f'{split}_dataloader'].dataset.ann_file = f'{split}/all.json'
    cfg.val_evaluator.ann_file = str(tmp_path / 'val' / 'all.json')
    settings = settings_of(cfg, tmp_path)
    assert [Path(path).name for path in settings.values()] == [
        'all.json',
        'val_all.json',
        'val_all.json',
    ]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            {'val_evaluator.proposal_nums': (1, 10, 300)},
            r'val_evaluator.proposal_nums is \[1, 10, 300\], and AP is that of 100',
        ),
        (
            {'val_evaluator.metric': ['bbox', 'segm']},
            None,
        ),
        (
            {'model.bbox_head.num_classes': 3},
            'num_classes is 3, but train_dataloader.dataset has 2 classes',
        ),
        (
            {'val_evaluator.ann_file': 'none.json'},
            'val_evaluator.ann_file: file none.json does not exist',
        ),
    ],
)
def test_settings(tmp_path, settings, message):
    cfg = config(tmp_path, **settings)
    if message is None:
        assert settings_of(cfg, tmp_path) == {}
        return
    with pytest.raises(ConfigError, match=message):
        settings_of(cfg, tmp_path)


def test_no_object_in_any_file_of_a_training(tmp_path):
    cfg = config(tmp_path, train=sound() | dict(annotations=[]))
    with pytest.raises(ConfigError, match='contain no object to learn from; choose'):
        settings_of(cfg, tmp_path)
    # Beside one with objects, it may hold backgrounds alone.
    cfg.train_dataloader.dataset = dict(
        datasets=[dataset(tmp_path, name) for name in ('train.json', 'val.json')]
    )
    assert settings_of(cfg, tmp_path) == {}


def test_an_evaluator_s_file_without_any_object(tmp_path):
    cfg = config(tmp_path, val=sound() | dict(annotations=[]))
    with pytest.raises(ConfigError, match='it contains no object for val_eval'):
        settings_of(cfg, tmp_path)
    # Without evaluator there is nothing to compare with.
    cfg.val_evaluator = []
    assert settings_of(cfg, tmp_path) == {}


def test_warnings_do_not_stop_a_run(tmp_path, capsys):
    cfg = config(tmp_path, **{'model.num_queries': 1})
    assert settings_of(cfg, tmp_path) == {}
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2  # train and val
    assert said[0].startswith('warning: ')
    assert 'it holds 2 objects, and model.num_queries is 1' in said[0]


def test_the_first_fault_is_told_and_that_there_are_more(tmp_path):
    coco = changed(bbox=[])
    coco['annotations'][0]['category_id'] = None
    cfg = config(tmp_path, train=coco, val=changed(area='x'))
    with pytest.raises(ConfigError) as error:
        settings_of(cfg, tmp_path)
    assert 'annotation 11 in image a.png: it has no category_id' in str(error.value)
    assert str(error.value).endswith(
        ' (1 more kind of fault in the data: python -m mmdet_qrpaq.doctor c.py, with '
        'the same --cfg-options if there were any, shows all).'
    )
    kinds = {f.kind for f in examine(cfg, ('train', 'val')).findings}
    assert {'missing-key', 'number'} <= kinds


def test_what_a_copy_mends_is_a_note(tmp_path):
    found = examine(config(tmp_path, val=changed(id=0)), ('val',)).findings
    assert [(f.kind, f.severity) for f in found] == [('mended-ids', Severity.NOTE)]


def test_an_evaluator_of_another_kind_is_left_alone(tmp_path):
    cfg = config(tmp_path)
    (tmp_path / 'other.json').write_text('{}')
    cfg.val_evaluator = dict(
        type='CocoPanopticMetric', ann_file=str(tmp_path / 'other.json')
    )
    assert settings_of(cfg, tmp_path) == {}


def renumbered(start: int, prefix: str = '', name: str = '') -> dict:
    """A sound file with other ids, and other names of images."""
    coco = sound()
    for entry in coco['images']:
        entry['id'] += start
        entry['file_name'] = f'{prefix}{name}{entry["file_name"]}'
    for entry in coco['annotations']:
        entry['id'] += start
        entry['image_id'] += start
    return coco


def joint(*files: dict) -> dict:
    tables = ('images', 'annotations')
    return sound() | {key: [e for file in files for e in file[key]] for key in tables}


def test_one_evaluator_of_data_sets_in_two_folders(tmp_path):
    cfg = config(tmp_path)
    (tmp_path / 'more').mkdir()
    for letter in 'ab':
        image = tmp_path / 'images' / f'{letter}.png'
        (tmp_path / 'more' / f'm{letter}.png').write_bytes(image.read_bytes())
    write(tmp_path, renumbered(100, name='m'), 'more.json')
    more = dataset(tmp_path, 'more.json') | dict(data_prefix=dict(img='more/'))
    cfg.val_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[cfg.val_dataloader.dataset, more]
    )
    cfg.val_evaluator.ann_file = str(tmp_path / 'joint.json')
    for prefix in ('', 'more/'):
        both = joint(sound(), renumbered(100, prefix, 'm'))
        write(tmp_path, both, 'joint.json')
        assert settings_of(cfg, tmp_path) == {}


def test_the_evaluator_judges_the_images_of_the_loader(tmp_path):
    cfg = config(tmp_path)
    cfg.val_evaluator.ann_file = str(tmp_path / 'other.json')
    for other, expected in (
        (joint(), 'lacks 2 images of the data loader (the first is a.png)'),
        (renumbered(0, name='x'), 'lacks 2 images of the data loader and has 2 that'),
        (
            joint(sound(), renumbered(9, name='x')),
            'other.json has 2 that it does not load (the first is xa.png)',
        ),
    ):
        write(tmp_path, other, 'other.json')
        findings = examine(cfg, ('train', 'val')).findings
        (told,) = [f.what for f in findings if f.kind == 'evaluator-images']
        assert expected in told


def test_indices_are_told(tmp_path):
    cfg = config(tmp_path)
    cfg.train_dataloader.dataset.indices = 1
    (finding,) = examine(cfg, ('train', 'val')).findings
    assert str(finding).startswith('train_dataloader.dataset.indices: only some images')
    assert finding.severity == Severity.WARNING
