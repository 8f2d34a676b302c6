"""A run on a GPU, resumed from its first epoch, goes on as the whole one."""

import pytest

from tiny_runs import CLASSES, CONFIG, logged_losses, run_tool, write_dataset

MERGED = (
    'optim_wrapper.constructor=MergedOptimWrapperConstructor',
    'optim_wrapper.optimizer.fused=True',
)


@pytest.mark.parametrize('flags', [(), ('--amp',)])
def test_a_resumed_run_repeats_the_whole_one(device, tmp_path, flags):
    """Up to what a GPU's kernels leave to chance; from both kinds of groups."""
    if device == 'cpu' and flags:
        pytest.skip('--amp needs a GPU')
    root = write_dataset(tmp_path / 'data')
    config = tmp_path / 'tiny.py'
    config.write_text(CONFIG.format(classes=CLASSES, root=str(root)))
    whole, again = tmp_path / 'whole', tmp_path / 'again'
    run_tool('train', config, '--work-dir', whole, *flags)
    start = ('--resume', whole / 'epoch_1.pth')
    run_tool(
        'train', config, '--work-dir', again, *start, *flags, '--cfg-options', *MERGED
    )
    expected = {step: loss for step, loss in logged_losses(whole).items() if step > 2}
    assert logged_losses(again) == pytest.approx(expected, rel=2e-2)
