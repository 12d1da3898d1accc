// Questions to the server, and its refusals as Errors of one line.

// The response; throws an AbortError where `options.signal` says so.
export async function fetchGood(path, options = {}) {
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

export async function ask(path, options = {}) {
  return (await fetchGood(path, options)).json();
}
