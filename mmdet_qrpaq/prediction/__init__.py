"""From a checkpoint to decisions: what a detector finds on images, drawn and written.

command ......... one run, from its arguments to its exit status
  inputs ........ words of the command line -> images and videos, with names and ids
  model ......... checkpoint -> detector, its config read out of the checkpoint
  thresholds .... from which score on a detection counts, by class
  predictor ..... images -> detections; tiles: large images in pieces, by SAHI
  video ......... frames of a video, and a video of frames
  drawing ....... detections on an image
  results ....... the files: CSV, COCO
"""
