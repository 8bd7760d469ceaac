"""Reads the HER2 level of an IHC image: trained on real IHC only, then shown generated IHC.

    rows = np.stack([features.features(image) for image in real_training_images])
    reader = training.train(rows, levels, groups=slides)
    found = scoring.level_agreement(reader, real_rows, levels, generated_rows, levels)

A generated image should be read as the level of its slide as often as the real image is; what the reader gets right on real
test images is the ceiling, and stands beside every score. A level is the label of a slide. Not every patch of a 3+ slide shows
a 3+ pattern, so the ceiling is below 1 and an image may be called wrong that shows its own tissue rightly.
"""
