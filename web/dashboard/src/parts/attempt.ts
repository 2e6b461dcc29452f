/** attemptWords says what came of an attempt: "answered 410: the receiver says that this is gone". Without an answer it is the reason alone. */
export function attemptWords(a: { status?: number; reason?: string }): string {
  if (!a.status) return a.reason || 'no answer came'
  // The reason of an answer begins with its status.
  const reason = a.reason?.replace(new RegExp(`^status ${a.status}(: )?`), '')
  return reason ? `answered ${a.status}: ${reason}` : `answered ${a.status}`
}
