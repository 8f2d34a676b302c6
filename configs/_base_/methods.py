"""Named parts of the methods. A leaf binds them: `pattern_query=_base_.patterns_900`.

Two bases of a config may not define the same key, so nothing here is called `model`.
"""

custom_imports = dict(imports=['mmdet_qrpaq'], allow_failed_imports=False)

# In every full-size leaf: one optimizer group for all parameters of equal settings, and
# torch's fused step where it has one.
merged_groups = dict(
    constructor='MergedOptimWrapperConstructor', optimizer=dict(fused=True)
)

# PaQ-DETR Sec. 3.2 and 4.1: 50 patterns for 300 queries, 150 for 900, beta = 0.2.
# The hidden width keeps the generator within Table 7's +1.8 M parameters.
patterns_300 = dict(
    type='PatternQueryGenerator',
    num_patterns=50,
    hidden_dims=64,
    diversity_weight=0.2,
)
patterns_900 = dict(
    type='PatternQueryGenerator',
    num_patterns=150,
    hidden_dims=8,
    diversity_weight=0.2,
)

# PaQ-DETR Sec. 3.3 and 4.1: k = 4, l = 1, gamma = 0.4; all decoder layers but the last.
quality = dict(
    assigner=dict(
        type='QualityAwareAssigner',
        candidate_topk=4,
        min_positives=1,
        confidence_weight=0.4,
        confidence='gt_class',
    ),
    layers='intermediate',
    normalizer='num_pos',
)

# PaQ-DETR Sec. 3.3-3.4: IoU-aware varifocal loss with DINO's coefficients, 1 / 5 / 2
# (mmdet's improved DINO weighs its focal loss, whose alpha is 0.25, with 2).
varifocal = dict(
    type='IoUAwareVarifocalLoss',
    alpha=0.75,
    gamma=2.0,
    loss_weight=1.0,
)

# PaQ-DETR Sec. 4.2, Table 3: H-DETR's hybrid branch, N_h = 1500 and k = 6.
hybrid = dict(num_queries=1500, num_repeats=6)

# DN-DETR's denoising: 5 groups, a label redrawn with probability 0.2, boxes within 0.4.
dn_groups = dict(
    label_noise_scale=0.4,
    box_noise_scale=0.4,
    group_cfg=dict(dynamic=False, num_groups=5),
)

# QR-DETR Sec. 4: what every `qr*` leaf routes with but the literal ones. Rule and
# gradient are ours: the threshold decides what share enters (0.69 of any scores like a
# bell), at all sites and whatever the router learns, so Table 2 cannot come of it.
eeqr = dict(
    schedule=('layer', 'self_attn', 'cross_attn'),  # Sec. 5.4a
    ffn_scope='routed',  # Sec. 5.4c; a small decoder did better with 'all'
    router=dict(router_input='content_and_position', init='random'),
    policy=dict(type='StandardizedPolicy', threshold=-0.5),
    gradient='straight_through',
    executor='auto',  # gathers on a CPU, and with a capacity
    capacity=None,
    regroup='scatter',  # Table 5
)
# Eq. 6's rule, taught by exit heads (Sec. 4.1), in two readings of 'project score
# values': the queries times their score, which tends to one answer for all queries;
# and the scores alone. What the text leaves open is as above.
eeqr_scaled_query = dict(
    eeqr,
    policy=dict(type='ThresholdPolicy'),
    gradient='exit_head',
)
eeqr_scores = dict(eeqr_scaled_query, exit_input='scores')
# By the letter of these, too: exit heads for 'targeted training of this layer' (Sec.
# 4.1), fewer supervision signals (Sec. 1, 4.2b), bypassing queries 'retained as
# they are' (Sec. 4). Needs a head that can leave queries out. Still not by the letter:
# the router sees the position, too (Eq. 5), and the FFN routed queries alone (Eq. 10).
eeqr_literal = dict(
    eeqr_scores,
    exit_teaches='router',
    supervise='entering',
    bypassed_boxes='kept',
)
# Shares of Table 2: 142, 63 and 183 of 300 queries, if margins are spread like a bell.
table_2_shares = dict(
    layer=dict(type='StandardizedPolicy', threshold=0.07),
    self_attn=dict(type='StandardizedPolicy', threshold=0.81),
    cross_attn=dict(type='StandardizedPolicy', threshold=-0.28),
)

# How many queries enter, in the log; a warning where a site no longer chooses.
routing_hooks = [dict(type='QueryRoutingHook')]

# PaQ-DETR Sec. 4.6 names neither head nor losses: points and weights are Mask2Former's.
# A leaf with masks also sets `backbone=dict(out_indices=(0, 1, 2, 3))`.
mask_branch = dict(
    type='MaskBranch',
    loss_mask=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=5.0),
    loss_dice=dict(type='DiceLoss', naive_dice=True, eps=1.0, loss_weight=5.0),
    num_points=12544,
    oversample_ratio=3.0,
    importance_sample_ratio=0.75,
)
