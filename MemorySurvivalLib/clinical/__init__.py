"""What a physician knows beside the images: staging scores and the visual reading of the scan."""
