"""Results as DICOM objects beside the images that they were made from: what a PACS can keep and a viewer can show."""
