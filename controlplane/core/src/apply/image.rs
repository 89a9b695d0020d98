//! Images: known here, kept by the members' blob stores.

use novacron_protocol::limits::IMAGES_MAX;
use novacron_protocol::{ImageId, MemberId};

use super::{Context, check_room};
use crate::command::NewImage;
use crate::event::{EventKind, Object};
use crate::image::Image;
use crate::operation::{OperationKind, OperationStatus, Subject};
use crate::outcome::{Applied, Outcome, Refusal, RefusalCode};
use crate::state::State;

impl State {
    pub(super) fn create_image(&mut self, context: &mut Context, new: &NewImage) -> Applied {
        let id = new.boot.image;
        match self.index.images_by_name.get(&new.name) {
            Some(known) if *known == id => return self.import_again(context, new),
            Some(_) => {
                let message = format!("there is another image {} already", new.name);
                return Err(Refusal::new(RefusalCode::NameTaken, message).on("name"));
            }
            None => {}
        }
        if let Some(known) = self.images.get(&id) {
            let message = format!("the same content is imported as image {}", known.name);
            return Err(Refusal::conflict(message));
        }
        check_room(self.images.len(), IMAGES_MAX, "images")?;
        self.begin_operation(
            context,
            new.operation,
            OperationKind::ImportImage,
            Subject::Image(id),
        )?;
        let image = Image {
            id,
            name: new.name.clone(),
            boot: new.boot.clone(),
            size: new.size,
            holders: vec![new.holder],
            created_at: self.clock,
            changed: self.applied,
        };
        self.images.insert(id, image);
        self.index.images_by_name.insert(new.name.clone(), id);
        let message = format!("image {} imported, {}", new.name, new.size);
        self.emit(context, EventKind::ImageCreated, Object::Image(id), message);
        self.settle_image(context, id);
        Ok(Outcome::Image { image: id, operation: new.operation })
    }

    /// The same image again: whoever has it now holds it, too. Heals an image whose only holder was
    /// lost before others had copied it.
    fn import_again(&mut self, context: &mut Context, new: &NewImage) -> Applied {
        let (image, operation) = (new.boot.image, new.operation);
        self.begin_operation(
            context,
            operation,
            OperationKind::ImportImage,
            Subject::Image(image),
        )?;
        self.hold_image(context, image, new.holder)?;
        Ok(Outcome::Image { image, operation })
    }

    pub(super) fn hold_image(
        &mut self,
        context: &mut Context,
        id: ImageId,
        member: MemberId,
    ) -> Applied {
        let applied = self.applied;
        let image =
            self.images.get_mut(&id).ok_or_else(|| Refusal::not_found(format!("image {id}")))?;
        if let Err(at) = image.holders.binary_search(&member) {
            image.holders.insert(at, member);
            image.changed = applied;
        }
        self.settle_image(context, id);
        Ok(Outcome::Done)
    }

    pub(super) fn delete_image(&mut self, context: &mut Context, id: ImageId) -> Applied {
        let image =
            self.images.get(&id).ok_or_else(|| Refusal::not_found(format!("image {id}")))?;
        if let Some(vm) = self.image_user(id) {
            let message = format!("VM {} uses image {}", vm.name, image.name);
            return Err(Refusal::conflict(message));
        }
        let name = image.name.clone();
        self.images.remove(&id);
        self.index.images_by_name.remove(&name);
        let cancelled = OperationStatus::Cancelled { reason: "the image was deleted".to_owned() };
        self.end_operations_of(context, Subject::Image(id), &cancelled);
        let message = format!("image {name} deleted");
        self.emit(context, EventKind::ImageDeleted, Object::Image(id), message);
        Ok(Outcome::Done)
    }

    /// Ends the import once a majority of the voters hold the image.
    fn settle_image(&mut self, context: &mut Context, id: ImageId) {
        if self.images.get(&id).is_some_and(|image| self.is_image_safe(image)) {
            self.end_operations_of(context, Subject::Image(id), &OperationStatus::Done);
        }
    }
}
