import { Alert, Button, Group, Table, Text } from '@mantine/core'
import { IconAlertTriangle } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useRef, useState } from 'react'
import { api, ok, RequestFailed } from '../api/client'
import { useSession } from '../api/session'
import { When } from './time'

/** A Tagged is what was read of an object, with the entity tag that it had. */
export interface Tagged<T> {
  value: T
  etag: string
}

/** A Version is what useVersion returns. */
export interface Version<T> {
  /** theirs is what somebody else has made of the object since it was read; null while nobody has. */
  theirs: Tagged<T> | null
  /** save changes the object, if it is still as it was read. Else it reads what is there now, and throws the refusal. */
  save: <R>(put: (etag: string) => Promise<Tagged<R>>) => Promise<R>
  /** take goes on from theirs: as the new beginning, or to be saved over. */
  take: () => void
}

/**
 * useVersion remembers of which version of an object a form was filled in, whatever is read in the background meanwhile, so that saving overwrites
 * nobody else's change unseen.
 */
export function useVersion<T>(etag: string, read: () => Promise<Tagged<T>>): Version<T> {
  const seen = useRef(etag) // not what is shown, so nothing is drawn again: and whoever takes theirs can save at once
  const [theirs, setTheirs] = useState<Tagged<T> | null>(null)
  return {
    theirs,
    save: async (put) => {
      try {
        const saved = await put(seen.current)
        seen.current = saved.etag
        setTheirs(null)
        return saved.value
      } catch (error) {
        if (error instanceof RequestFailed && error.status === 412) setTheirs(await read())
        throw error
      }
    },
    take: () => {
      if (theirs) seen.current = theirs.etag
      setTheirs(null)
    },
  }
}

/** Conflict shows what somebody else has changed meanwhile beside one's own. object is the kind and the id, as the audit names them. */
export function Conflict(props: {
  object: string
  yours: object
  theirs: object
  /** onLoad forgets one's own, onOver saves it over theirs. */
  onLoad: () => void
  onOver: () => void
}) {
  const { may } = useSession()
  const audit = useQuery({
    queryKey: ['audit', props.object, 'last'],
    queryFn: async () => (await ok(api.GET('/v1/audit', { params: { query: { object: props.object, limit: 1 } } }))).entries[0] ?? null,
    enabled: may('list-audit'),
    staleTime: 0,
  })
  const yours = flat(props.yours)
  const theirs = flat(props.theirs)
  const fields = [...new Set([...Object.keys(theirs), ...Object.keys(yours)])].filter((f) => yours[f] !== theirs[f]).sort()
  return (
    <Alert color="yellow" icon={<IconAlertTriangle aria-hidden />} title={`Changed meanwhile${audit.data ? ` by ${audit.data.actor.name}` : ''}`} role="alert">
      <Text size="sm">
        Somebody has saved another version since you opened this one
        {audit.data && (
          <>
            {' '}
            (<When at={audit.data.at} />)
          </>
        )}
        . What you typed is still here, and nothing is saved yet.
      </Text>
      <Table.ScrollContainer minWidth={320} type="native">
        <Table verticalSpacing={4} aria-label="Where the two versions differ">
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">Setting</Table.Th>
              <Table.Th scope="col">Theirs</Table.Th>
              <Table.Th scope="col">Yours</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {fields.map((f) => (
              <Table.Tr key={f}>
                <Table.Th scope="row" className="mono">
                  {f}
                </Table.Th>
                <Table.Td className="foreign">{theirs[f] ?? 'not set'}</Table.Td>
                <Table.Td className="foreign">{yours[f] ?? 'not set'}</Table.Td>
              </Table.Tr>
            ))}
            {fields.length === 0 && (
              <Table.Tr>
                <Table.Td colSpan={3}>Nothing that is shown differs: a secret was changed.</Table.Td>
              </Table.Tr>
            )}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      <Group mt="sm">
        <Button size="xs" variant="default" onClick={props.onLoad}>
          Load theirs, and forget mine
        </Button>
        <Button size="xs" color="red" onClick={props.onOver}>
          Save mine over theirs
        </Button>
      </Group>
    </Alert>
  )
}

/** flat writes settings as texts by their paths, such as filter.event_types. What is empty is as good as absent. */
function flat(settings: object, below = ''): Record<string, string> {
  const out: Record<string, string> = {}
  for (const [key, value] of Object.entries(settings) as [string, unknown][]) {
    if (value === undefined || value === null || value === '' || value === false || key === '$schema') continue
    if (typeof value === 'object' && !Array.isArray(value)) Object.assign(out, flat(value, `${below}${key}.`))
    else if (!Array.isArray(value) || value.length > 0) out[below + key] = Array.isArray(value) ? value.map(String).join(', ') : String(value)
  }
  return out
}
