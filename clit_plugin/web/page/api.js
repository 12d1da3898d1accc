// Requests to the server; error responses become Errors with a one-line message.

// The response, if its status is OK. Aborting by `options.signal` throws an AbortError.
export async function fetchOk(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Error("clit web does not answer; is it still running?");
  }
  if (!response.ok) throw new Error((await response.json()).error);
  return response;
}

export async function fetchJson(path, options = {}) {
  return (await fetchOk(path, options)).json();
}
