import { Anchor, Group } from '@mantine/core'
import { Link } from 'react-router'
import { Copy } from './copy'

/** storyPath is the page that tells all about an event, a delivery, a view, a reward or a refused postback. */
export const storyPath = (id: string): string => `/story/${encodeURIComponent(id)}`

/** IdLink shows an id that leads to its story. With copy, a button beside it copies the id. */
export function IdLink({ id, copy }: { id: string; copy?: boolean }) {
  const link = (
    <Anchor component={Link} to={storyPath(id)} className="mono" style={{ overflowWrap: 'anywhere' }}>
      {id}
    </Anchor>
  )
  if (!copy) return link
  return (
    <Group gap={2} wrap="nowrap">
      {link}
      <Copy text={id} what="the id" />
    </Group>
  )
}
