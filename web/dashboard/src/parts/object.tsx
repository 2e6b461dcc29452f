import { Button, Group, Stack, Text } from '@mantine/core'
import { useForm, type UseFormReturnType } from '@mantine/form'
import { notifications } from '@mantine/notifications'
import { type ReactNode, useState } from 'react'
import { RequestFailed } from '../api/client'
import { ProblemNote } from './answer'
import { Ask } from './ask'
import { useSaving } from './saving'
import { Conflict, type Tagged, useVersion } from './version'

/** The headers by which a change overwrites nobody else's: of a new object, that there is none of its name. */
export type OnlyIf = { 'If-Match': string } | { 'If-None-Match': '*' }

/** An ObjectSpec is all that the form of one object needs: how its settings become values of fields and back, and how they are read and kept. */
export interface ObjectSpec<Values extends Record<string, unknown>, Settings extends object> {
  /** The object as the audit names it, "zone/shop/123456", and in words: "the zone 123456". */
  object: string
  words: string
  /** loaded is what was read of it; null for one that is not there yet. */
  loaded: Tagged<Settings> | null
  read: () => Promise<Tagged<Settings>>
  values: (settings: Settings | null) => Values
  settings: (values: Values) => Settings
  validate?: Parameters<typeof useForm<Values>>[0] extends infer O ? (O extends { validate?: infer V } ? V : never) : never
  put: (settings: Settings, values: Values, onlyIf: OnlyIf) => Promise<Tagged<unknown>>
  /** done is called once it is saved, with what it was saved from. */
  done?: (values: Values) => void
  /** remove removes it, where the member may. gone is called afterwards; removing says what it takes along. */
  remove?: (onlyIf: OnlyIf) => Promise<unknown>
  gone?: () => void
  removing?: ReactNode
  /** What the buttons say: "Make the zone", "Save the zone", "Remove the zone". */
  noun: string
}

/**
 * ObjectForm is the form of one object of the configuration. What the server finds wrong stands beside the fields; what somebody else has changed
 * meanwhile is shown beside one's own; a removal asks first.
 */
export function ObjectForm<Values extends Record<string, unknown>, Settings extends object>(props: ObjectSpec<Values, Settings> & { children: (form: UseFormReturnType<Values>) => ReactNode; readOnly?: boolean }) {
  const { loaded } = props
  const [removing, setRemoving] = useState(false)
  const form = useForm<Values>({ initialValues: props.values(loaded?.value ?? null), validate: props.validate as never })
  const version = useVersion(loaded?.etag ?? '', props.read)
  const saving = useSaving(
    form,
    async (values) => {
      const settings = props.settings(values)
      if (!loaded) return (await props.put(settings, values, { 'If-None-Match': '*' })).value
      return version.save((etag) => props.put(settings, values, { 'If-Match': etag }))
    },
    {
      said: loaded ? 'Saved. It is in force.' : 'Made. It is in force.',
      done: () => props.done?.(form.getValues()),
      // The server names a field as the objects file does: caps[0].rewards.
      field: (name) => name.replace(/^body\./, '').replace(/\[(\d+)\]/g, '.$1'),
    },
  )
  const meanwhile = saving.error instanceof RequestFailed && saving.error.status === 412 && !!loaded
  return (
    <>
      <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
        <Stack gap="md">
          {props.children(form)}
          {version.theirs && (
            <Conflict
              object={props.object} yours={props.settings(form.getValues())} theirs={props.settings(props.values(version.theirs.value))}
              onLoad={() => {
                if (version.theirs) {
                  form.setInitialValues(props.values(version.theirs.value))
                  form.setValues(props.values(version.theirs.value))
                }
                version.take()
                saving.reset()
              }}
              onOver={() => {
                version.take()
                saving.mutate(form.getValues())
              }}
            />
          )}
          {!meanwhile && <ProblemNote error={saving.error} />}
          {!props.readOnly && (
            <Group justify="space-between">
              <Group gap="sm">
                <Button type="submit" loading={saving.isPending}>
                  {loaded ? `Save the ${props.noun}` : `Make the ${props.noun}`}
                </Button>
                {loaded && form.isDirty() && (
                  <Text size="sm" c="dimmed">
                    Not saved yet
                  </Text>
                )}
              </Group>
              {loaded && props.remove && (
                <Button variant="subtle" color="red" onClick={() => setRemoving(true)}>
                  Remove the {props.noun}
                </Button>
              )}
            </Group>
          )}
        </Stack>
      </form>
      {/* Not within the form: what is sent in a dialog would be sent there as well. */}
      {props.remove && (
        <Ask
          opened={removing} onClose={() => setRemoving(false)} title={`Remove ${props.words}`} button={`Remove the ${props.noun}`}
          act={async () => {
            // As it was read or saved last, and not as a look in the background may find it: what is removed is what the page shows.
            await version.save(async (etag) => ({ value: await props.remove?.({ 'If-Match': etag }), etag: '' }))
            notifications.show({ message: `Removed: ${props.words}.`, color: 'green' })
            props.gone?.()
          }}
        >
          <Text size="sm" component="div">
            {props.removing}
          </Text>
        </Ask>
      )}
    </>
  )
}

/** pruned leaves out of settings what is empty: for the objects file, that is as good as absent. */
export function pruned<T extends object>(settings: T): T {
  const out: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(settings) as [string, unknown][]) {
    if (value === undefined || value === null || value === '' || value === false) continue
    if (Array.isArray(value)) {
      const items = value.map((item: unknown) => (typeof item === 'object' && item !== null ? pruned(item) : item)).filter((item) => item !== '')
      if (items.length > 0) out[key] = items
    } else if (typeof value === 'object') {
      const group = pruned(value)
      if (Object.keys(group).length > 0) out[key] = group
    } else {
      out[key] = typeof value === 'string' ? value.trim() : value
    }
  }
  return out as T
}

/** nameFault says what is wrong with the name of an object. */
export const nameFault = (name: string): string | null =>
  !name ? 'Give it a name: it is what everything else calls it by' : /^[a-z0-9][a-z0-9_-]{0,62}$/.test(name) ? null : 'Lower-case letters, digits, - and _, a letter or digit first'

/** below finds the first fault at a path of a form, or of something in it: "origins" finds that of origins.2 as well. */
export function below(errors: Record<string, ReactNode>, path: string): ReactNode {
  const key = Object.keys(errors).find((k) => k === path || k.startsWith(`${path}.`))
  return key ? errors[key] : undefined
}
