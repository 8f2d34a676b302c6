"""COCO's metrics of boxes: our names for those that mmdet logs."""

AP_NAMES = dict(
    AP='bbox_mAP',
    AP50='bbox_mAP_50',
    AP75='bbox_mAP_75',
    APs='bbox_mAP_s',
    APm='bbox_mAP_m',
    APl='bbox_mAP_l',
)
