import { DetailedError, Upload, type UploadOptions } from "tus-js-client";
import type { MosaicClient, Schemas } from "./client.js";

/** What is said of a file. With an `id` of the app's own, an upload that is begun twice makes one resource. */
export interface About {
  filename: string;
  filetype?: string;
  id?: string;
  memoId?: string;
  metadata?: Schemas["KeptObject"];
  createdAt?: number;
  updatedAt?: number;
}

export interface UploadSettings {
  onProgress?: (sent: number, total: number | null) => void;
  signal?: AbortSignal;
  /** More of what tus-js-client takes: `chunkSize`, `urlStorage`, `retryDelays` and the like. */
  tus?: UploadOptions;
}

/** So large a file goes with the request that begins the upload: a photo that was made smaller. One that breaks off is sent from its begin. */
const ONE_REQUEST = 1024 * 1024;

/** Sends a file in as many requests as it takes, and goes on where an earlier try broke off. Answers the resource's record. */
export async function upload(
  client: MosaicClient,
  file: Upload["file"],
  about: About,
  settings: UploadSettings = {},
): Promise<Schemas["Resource"]> {
  const { metadata, ...rest } = about;
  const said = { ...rest, ...(metadata ? { metadata: JSON.stringify(metadata) } : {}) };
  const id = await new Promise<string>((resolve, reject) => {
    let resourceId = "";
    const task = new Upload(file, {
      retryDelays: [500, 1_000, 2_000, 5_000, 10_000, 30_000],
      removeFingerprintOnSuccess: true,
      uploadDataDuringCreation: sizeOf(file) <= ONE_REQUEST,
      ...settings.tus,
      endpoint: `${client.baseUrl}/uploads`,
      metadata: Object.fromEntries(Object.entries(said).map(([name, value]) => [name, String(value)])),
      async onBeforeRequest(request) {
        // Where a token is refused tus-js-client begins anew, or gives up: so it is used, and renewed if need be, by the client first.
        // One that expires later is refused with the next part, which is followed by a question for what has arrived.
        if (request.getMethod() !== "PATCH") await client.request("get", "/auth/me");
        request.setHeader("Authorization", `Bearer ${await client.accessToken()}`);
        request.setHeader("X-Client-Id", client.clientId);
        request.setHeader("X-Client-Time", String(Date.now()));
      },
      onAfterResponse(_request, response) {
        resourceId = response.getHeader("X-Mosaic-Resource-Id") ?? resourceId;
      },
      onShouldRetry(error) {
        const status = error instanceof DetailedError ? (error.originalResponse?.getStatus() ?? 0) : 0;
        return status === 0 || [401, 409, 423, 429].includes(status) || status >= 500;
      },
      onProgress: (sent, total) => settings.onProgress?.(sent, total),
      onSuccess: () => resolve(resourceId),
      onError: reject,
    });
    const end = () => void task.abort().then(() => reject(settings.signal?.reason));
    settings.signal?.addEventListener("abort", end, { once: true });
    void task
      .findPreviousUploads()
      .then(([earlier]) => {
        if (earlier) task.resumeFromPreviousUpload(earlier);
        if (settings.signal?.aborted) end();
        else task.start();
      })
      .catch(reject);
  });
  return client.request("get", "/resources/{id}", { params: { path: { id } } });
}

function sizeOf(file: Upload["file"]): number {
  const { size, byteLength } = file as { size?: number; byteLength?: number };
  return size ?? byteLength ?? Infinity;
}
