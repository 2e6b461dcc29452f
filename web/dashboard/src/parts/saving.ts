import type { UseFormReturnType } from '@mantine/form'
import { notifications } from '@mantine/notifications'
import { useMutation, type UseMutationResult } from '@tanstack/react-query'
import { RequestFailed } from '../api/client'

/**
 * useSaving sends a form. What the server finds wrong stands beside the fields; what it says of none of them is in the mutation's error. Nothing
 * that was typed is lost, whatever happens: the form keeps its values, and a session that has ended is renewed over the page.
 *
 * field gives a field of the form for a field of the request, when the two differ.
 */
export function useSaving<Values extends Record<string, unknown>, Result>(
  form: UseFormReturnType<Values>,
  save: (values: Values) => Promise<Result>,
  options: { done?: (result: Result) => void; said?: string; field?: (name: string) => string } = {},
): UseMutationResult<Result, Error, Values> {
  return useMutation({
    mutationFn: save,
    onSuccess: (result) => {
      form.clearErrors()
      form.resetDirty()
      if (options.said) notifications.show({ message: options.said, color: 'green' })
      options.done?.(result)
    },
    onError: (error) => {
      if (!(error instanceof RequestFailed)) return
      const known: Record<string, string> = {}
      for (const [name, message] of Object.entries(error.faults)) {
        known[options.field?.(name) ?? name.replace(/^body\./, '')] = message
      }
      form.setErrors(known)
    },
  })
}
