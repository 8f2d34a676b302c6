"""What a model's detections are worth: from which score on, and what goes wrong."""
