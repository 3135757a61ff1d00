"""HTTP/1.1 straight on httptools and uvloop: a server protocol and a pooled client, used in the image and in front."""
