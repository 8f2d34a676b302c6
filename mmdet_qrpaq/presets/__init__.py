"""Common ways of training, each switched on by a word: `--preset ema bf16`.

In a config the same words are a line, `presets = ['ema', 'bf16']`. A preset changes
settings of a config and has no code in the training itself, but for what mmengine
lacks (`backends`, `optim.bfloat16`).
"""
