"""What the image is made of: a bill of materials, licences, dependencies without a use, known vulnerabilities."""
