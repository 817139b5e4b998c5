"""Uploads a file with tuspy, a tus client that was not written for this server, and prints where it went.

tus_upload.py URL TOKEN FILE CHUNK_BYTES CHECKSUM(yes or no) ID
"""

import sys

from tusclient.client import TusClient

url, token, path, chunk_bytes, checksum, resource = sys.argv[1:]
client = TusClient(url, headers={"Authorization": f"Bearer {token}", "X-Client-Id": "tuspy"})
uploader = client.uploader(
    path,
    chunk_size=int(chunk_bytes),
    retries=300,
    retry_delay=0,
    upload_checksum=checksum == "yes",
    metadata={"filename": "Stra\u00dfe.bin", "filetype": "application/x-tus", "id": resource, "empty": ""},
)
uploader.upload()
print(uploader.url)
