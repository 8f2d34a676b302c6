"""One module a layout: looks at what lies in a folder, and says what would be read."""
